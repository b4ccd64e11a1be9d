"""One HTTP call to the AMIE service: its timeouts, its attempts, and what goes wrong on the way.

Calls that may be repeated without harm (GET, PUT, DELETE) are tried again after a failure that may pass. A
POST never is: nothing makes the service's POST idempotent, so whoever sent it must look what became of it.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self

import requests
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, ReadTimeoutError

from amie_engine._answers import Answer, Redaction, read_answer
from amie_engine._logging import about
from amie_engine.errors import (
    AMIERequestError,
    ServiceUnreachable,
    ServiceUnreadableAnswer,
    SettingsError,
)

__all__ = ["RetryPolicy", "Transport", "UnredirectedSession"]

_logger = logging.getLogger("amie_engine.client")

_REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
_PASSING = frozenset({429, 500, 502, 503, 504})
_MOST_DOUBLINGS = 30
_ASKED_EVERY = 1.0
"""Seconds after which a wait asks anew whether it is to end."""
_NO_ANSWER = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
_NOT_CONNECTED_HINT = "Check the network and the service's URL; nothing was sent."
_CERTIFICATE_HINT = (
    "Check the service's URL and certificate, and the certificate authorities that this machine trusts"
    " (REQUESTS_CA_BUNDLE)."
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a call is tried again that may be repeated without harm.

    The wait doubles from attempt to attempt, and a random part of up to a half is taken off, so that sites
    which failed together don't come back together. ``Retry-After`` makes it longer where the service says so.
    One that asks for more than is waited ends the call: what comes sooner would be refused again.

    Args:
        attempts: How many in all; 1 means never again.
        first_wait: Seconds before the second attempt.
        maximum_wait: Seconds that the doubling ends at.
        maximum_retry_after: Seconds that a ``Retry-After`` is followed for at most.

    Raises:
        SettingsError: There is not one attempt, or a wait is negative.

    Source: RFC 9110, Retry-After.
    """

    attempts: int = 4
    first_wait: float = 0.5
    maximum_wait: float = 30.0
    maximum_retry_after: float = 60.0

    def __post_init__(self) -> None:
        waits = (self.first_wait, self.maximum_wait, self.maximum_retry_after)
        if self.attempts < 1 or not all(wait >= 0 for wait in waits):
            raise SettingsError("A retry policy needs at least one attempt, and waits that are not negative.")

    def wait_after(self, attempt: int, fraction: float, retry_after: float | None) -> float:
        """Return the seconds to wait after a failed attempt.

        Args:
            attempt: Which it was, from 1.
            fraction: A random number from 0 to 1.
            retry_after: The seconds that the service asked for, or None.
        """
        longest = min(self.maximum_wait, self.first_wait * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))
        wait = longest * (0.5 + 0.5 * fraction)
        return wait if retry_after is None else max(wait, min(retry_after, self.maximum_retry_after))


class UnredirectedSession(requests.Session):
    """A session that knows no redirects.

    Even one that is told not to follow them prepares the next request, with the key and for whatever host the
    answer names, keeps it in the response, and fails on an address that is none.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class Transport:
    """Makes the calls of a client.

    Args:
        session: The session to make them with; it carries the headers.
        base_url: The service's URL, with a slash at its end and without a user's name or password.
        redaction: What to keep out of texts and exceptions.
        timeout: Seconds to wait for a connection, and for the next part of the answer.
        retry: How often and when to try again.
        sleep: Waits for so many seconds.
        random: Gives a random number from 0 to 1.
        clock: Gives the time, with its zone; for a ``Retry-After`` that is a date.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        redaction: Redaction,
        *,
        timeout: tuple[float, float],
        retry: RetryPolicy,
        sleep: Callable[[float], None],
        random: Callable[[], float],
        clock: Callable[[], datetime],
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._redaction = redaction
        self._timeout = timeout
        self._retry = retry
        self._sleep = sleep
        self._random = random
        self._clock = clock
        self._is_stopped: Callable[[], bool] | None = None

    def stoppable(self, is_stopped: Callable[[], bool]) -> Self:
        """Return one like it, over the same connections, whose waits between two attempts can be ended.

        Args:
            is_stopped: Asked before each second of a wait. Once it says so, the call is not tried again.
        """
        made = copy.copy(self)
        made._is_stopped = is_stopped
        return made

    def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> Answer:
        """Make a call, again where that is allowed and may help, and return the answer.

        Args:
            method: The HTTP method.
            path: The path under the base URL, percent-encoded.
            query: The query's parameters.
            content: A JSON text to send.

        Raises:
            AMIERequestError: The one for what went wrong in the last attempt.
        """
        attempts = self._retry.attempts if method in _REPEATABLE else 1
        attempt = 1
        while True:
            try:
                return self._attempt(method, path, query, content)
            except AMIERequestError as error:
                error.retry_after = _read_retry_after(error.response, self._clock())
                if attempt >= attempts or not _may_pass(error):
                    raise
                wait = self._retry.wait_after(attempt, self._random(), error.retry_after)
                if error.retry_after is not None and error.retry_after > wait:
                    raise
                failure = error
            _logger.debug(
                "%s %s: %s, attempt %d of %d, again in %.3f s",
                method,
                self._redaction.text(path),
                failure.code,
                attempt,
                attempts,
                wait,
                extra=about(code=failure.code, attempt=attempt, seconds=round(wait, 3)),
            )
            if not self._waited(wait):
                raise failure
            attempt += 1

    def _waited(self, seconds: float) -> bool:
        """Wait for so long; tell whether nobody has ended that."""
        if self._is_stopped is None:
            self._sleep(seconds)
            return True
        while seconds > 0 and not self._is_stopped():
            self._sleep(min(seconds, _ASKED_EVERY))
            seconds -= _ASKED_EVERY
        return not self._is_stopped()

    def _attempt(
        self, method: str, path: str, query: Mapping[str, str] | None, content: bytes | None
    ) -> Answer:
        call = f"{method} {path}"
        headers = None if content is None else {"Content-Type": "application/json"}
        began = time.perf_counter()
        trouble: Exception
        try:
            response = self._session.request(
                method,
                self._base_url + path,
                params=query,
                data=content,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,  # another host would be given the key
            )
        except (requests.RequestException, HTTPError) as error:
            trouble = error
        else:
            self._log(call, str(response.status_code), began)
            return read_answer(response, call, self._redaction)
        self._log(call, type(trouble).__name__, began)
        raise self._failure(trouble, call)

    def _log(self, call: str, outcome: str, began: float) -> None:
        seconds = time.perf_counter() - began
        fields = about(outcome=outcome, seconds=round(seconds, 3))
        _logger.debug("%s: %s in %.3f s", self._redaction.text(call), outcome, seconds, extra=fields)

    def _failure(self, trouble: Exception, call: str) -> AMIERequestError:
        """The error for an exception of the HTTP library, which becomes its cause, without the key."""
        call = self._redaction.readable(call, 200)
        failure: AMIERequestError
        if isinstance(trouble, requests.exceptions.ContentDecodingError):
            failure = ServiceUnreadableAnswer(
                f"The answer to {call} can't be read: it is not compressed in the way that it says."
            )
        elif isinstance(trouble, _NO_ANSWER):
            nothing_done = _was_not_connected(trouble)
            hint = _NOT_CONNECTED_HINT if nothing_done else None
            if isinstance(trouble, requests.exceptions.SSLError):
                hint = _CERTIFICATE_HINT
            failure = ServiceUnreachable(f"No answer to {call}: {self._what_happened(trouble)}.", hint=hint)
            failure.nothing_done = nothing_done
        else:
            # Its text may quote a header, so it is not shown and not chained.
            return AMIERequestError(
                f"The call {call} failed in the HTTP library: {type(trouble).__name__}.",
                hint="Check the service's URL and the proxy settings of the environment.",
            )
        # The exception itself holds the request with the key, and perhaps what a peer echoed.
        failure.__cause__ = type(trouble)(
            self._redaction.readable(str(trouble)), request=self._redaction.request(trouble.request)
        )
        return failure

    def _what_happened(self, trouble: requests.RequestException) -> str:
        connect, read = self._timeout
        if isinstance(trouble, requests.exceptions.SSLError):
            return "no secure connection could be made"
        if isinstance(trouble, requests.exceptions.ProxyError):
            return "the proxy did not connect"
        if isinstance(trouble, requests.ConnectTimeout):
            return f"no connection within {connect:g} s"
        reason = _reason(trouble)
        if isinstance(trouble, requests.ReadTimeout) or isinstance(reason, ReadTimeoutError):
            return f"nothing came for {read:g} s"
        if isinstance(trouble, requests.exceptions.ChunkedEncodingError):
            return "the connection was cut off in the middle of it"
        if _was_not_connected(trouble):
            return "no connection could be made"
        return "the connection failed or was cut off"


def _reason(trouble: Exception) -> object:
    """What the library below has raised, where that is told."""
    return trouble.args[0] if trouble.args else None


def _was_not_connected(trouble: Exception) -> bool:
    """Whether there was no connection, so that nothing can have been sent."""
    if isinstance(trouble, requests.ConnectTimeout):
        return True
    reason = _reason(trouble)
    return isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)


def _may_pass(error: AMIERequestError) -> bool:
    """Whether the same call may succeed after a wait."""
    if isinstance(error, ServiceUnreachable):
        return True
    return error.response is not None and error.response.status_code in _PASSING


def _read_retry_after(response: requests.Response | None, now: datetime) -> float | None:
    """The seconds that the service asks to wait, from a number or a date; None where it doesn't."""
    text = response.headers.get("Retry-After", "").strip() if response is not None else ""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
