"""What an answer of the AMIE service means: the document that it holds, or the error that it stands for.

No text made here holds the site's key: whatever the service says goes through ``Redaction`` first.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from amie_engine.errors import (
    AMIERequestError,
    ServiceAuthenticationError,
    ServiceConflict,
    ServiceFault,
    ServiceNotFound,
    ServiceRateLimited,
    ServiceUnreadableAnswer,
    ServiceValidationError,
)

__all__ = ["Answer", "Redaction", "read_answer"]

_LONGEST_MESSAGE = 500
_LONGEST_CALL = 200
_SECRET_HEADERS = ("XA-API-KEY", "Authorization", "Proxy-Authorization", "Cookie")

_ERRORS: dict[int, type[AMIERequestError]] = {
    400: ServiceValidationError,
    401: ServiceAuthenticationError,
    403: ServiceAuthenticationError,
    404: ServiceNotFound,
    409: ServiceConflict,
    422: ServiceValidationError,
    429: ServiceRateLimited,
}


class Redaction:
    """Keeps secrets out of texts, and out of the requests that answers and exceptions carry.

    Args:
        secrets: What must never be seen: the API key, a password.
    """

    def __init__(self, *secrets: str) -> None:
        spellings = {
            spelling for secret in secrets if secret for spelling in (secret, quote(secret, safe=""))
        }
        # The longest first, so that no part of one is left over by another.
        alternatives = "|".join(re.escape(text) for text in sorted(spellings, key=len, reverse=True))
        self._pattern = re.compile(alternatives, re.IGNORECASE) if alternatives else None

    def text(self, text: str) -> str:
        """Return the text with ``***`` in place of each secret."""
        return self._pattern.sub("***", text) if self._pattern else text

    def readable(self, text: str, longest: int = _LONGEST_MESSAGE) -> str:
        """Return foreign text as one printable line of at most so many characters, without secrets."""
        printable = "".join(c if c.isprintable() else " " for c in self.text(text))
        line = self.text(" ".join(printable.split()))
        return line if len(line) <= longest else line[: longest - 3] + "..."

    def request(self, request: Any) -> Any:
        """Return a copy of a prepared request whose headers hold no secret; None for anything else."""
        if not hasattr(request, "copy"):
            return None
        copy = request.copy()
        for name in _SECRET_HEADERS:
            if name in copy.headers:
                copy.headers[name] = "***"
        return copy


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """A 2xx answer and its JSON document (None for 204, which has none).

    ``call`` names the call for people: the method and the path.
    """

    response: requests.Response
    call: str
    document: Any
    redaction: Redaction

    def result(self) -> Any:
        """Return the answer's ``result``.

        Raises:
            ServiceUnreadableAnswer: The answer is not an object that has one.
        """
        if not isinstance(self.document, dict) or "result" not in self.document:
            raise self.unreadable("it is not an object with a result")
        return self.document["result"]

    def acknowledged(self) -> requests.Response:
        """Return the response to a call that changed something.

        Raises:
            ServiceUnreadableAnswer: The answer is no object: perhaps it is not the service's.
        """
        if not isinstance(self.document, dict) and self.response.status_code != HTTPStatus.NO_CONTENT:
            raise self.unreadable("it is no JSON object")
        return self.response

    def message(self) -> str:
        """Return what the service said, as one printable line; empty where it said nothing."""
        return _hub_message(self.document, self.redaction) or ""

    def unreadable(self, why: str) -> ServiceUnreadableAnswer:
        """Return the error that the answer is not of the expected shape."""
        return _unreadable(self.response, self.call, why, self.redaction, self.message())


def read_answer(response: requests.Response, call: str, redaction: Redaction) -> Answer:
    """Return the answer with its document, for a 2xx status whose body is JSON.

    Args:
        response: The service's response; its request is replaced by a copy without secrets.
        call: The method and path of the call, for people.
        redaction: What to keep out of texts.

    Raises:
        AMIERequestError: The one for the status, with the message of the service where it gave one.
        ServiceUnreadableAnswer: The body is no JSON, or the answer is a redirect.
    """
    response.request = redaction.request(response.request)
    call = redaction.readable(call, _LONGEST_CALL)
    status = response.status_code
    if status == HTTPStatus.NO_CONTENT:
        return Answer(response, call, None, redaction)
    readable, document = _read_json(response.content)
    if not 200 <= status < 300:
        raise _refusal(response, call, document, redaction)
    if not readable:
        raise _unreadable(response, call, _what_it_is(response), redaction)
    return Answer(response, call, document, redaction)


def _read_json(content: bytes) -> tuple[bool, Any]:
    """Tell whether a body is JSON, and its document.

    The parser's own error holds the body, and ends here. NaN passes: it is no JSON, but in one packet of a
    listing it must not hide the others.
    """
    try:
        return True, json.loads(content)
    except (ValueError, RecursionError):
        return False, None


def _hub_message(document: Any, redaction: Redaction) -> str | None:
    message = document.get("message") if isinstance(document, dict) else None
    return redaction.readable(message) or None if isinstance(message, str) else None


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "...")) else f"{text}."


_DONE_NOTHING = frozenset({401, 403, 429})
"""With these the API refuses a call before it looks at what is asked for. A page with such a status comes
from a proxy, which may have handed the call on."""


def _refusal(response: requests.Response, call: str, document: Any, redaction: Redaction) -> AMIERequestError:
    """The error for an answer whose status is not 2xx."""
    status = response.status_code
    if 300 <= status < 400:
        return _redirected(response, call, redaction)
    error = ServiceFault if status >= 500 else _ERRORS.get(status, AMIERequestError)
    said = _hub_message(document, redaction)
    told = f"{status} to {call}: {_sentence(said)}" if said else f"{_status_name(status)} to {call}."
    refusal = error(f"The service answered {told}", response=response)
    refusal.nothing_done = status in _DONE_NOTHING and isinstance(document, dict)
    return refusal


def _status_name(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _redirected(response: requests.Response, call: str, redaction: Redaction) -> ServiceUnreadableAnswer:
    """The error for a redirect: following it could hand the key to another host."""
    try:
        # The host alone: a login page's address may hold a token.
        host = urlsplit(response.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    where = f" to {redaction.readable(host, 100)}" if host else ""
    return ServiceUnreadableAnswer(
        f"The service answered {call} with a redirect ({response.status_code}){where}; none is followed.",
        hint="Check the service's URL: it may need https, have moved, or have a login page before it.",
        response=response,
    )


def _unreadable(
    response: requests.Response, call: str, why: str, redaction: Redaction, said: str = ""
) -> ServiceUnreadableAnswer:
    says = f" It says: {_sentence(said)}" if said else ""
    error = ServiceUnreadableAnswer(
        f"The answer {response.status_code} to {call} can't be read: {why}.{says}", response=response
    )
    error.why = why
    return error


def _what_it_is(response: requests.Response) -> str:
    content = response.content.lstrip()
    if not content:
        return "it is empty"
    if content.startswith(b"<") or "html" in response.headers.get("Content-Type", "").lower():
        return "it is HTML"
    return "it is no JSON, or was cut off"
