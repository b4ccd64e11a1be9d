"""What a handler is given besides the packet, and what it may answer besides a reply."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from amie_engine.engine.source import text_problem
from amie_engine.errors import HandlerInvalid, LeaseLost, LogError, StepInvalid
from amie_engine.log.canonical import canonical_json
from amie_engine.packet.base import Packet

__all__ = ["Asking", "Deferral", "Interrupted", "Memory", "Notebook", "Work"]

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Deferral:
    """The handler wants to be called again: not before ``until``, or at the next round."""

    until: datetime | None
    reason: str


class Asking(BaseException):
    """Ends a call of a handler that waits for a person's answer.

    It is no `Exception`: a handler that catches those must not take it for a failure.

    Attributes:
        name: What the answer is asked for by.
        question: What the person is asked.
        choices: What may be answered; empty where anything may.
    """

    def __init__(self, name: str, question: str, choices: tuple[str, ...]) -> None:
        super().__init__(name)
        self.name = name
        self.question = question
        self.choices = choices


class Interrupted(BaseException):
    """Ends a call of a handler whose memory fails: another worker is at it, or the log can't be used.

    It is no `Exception` either: a handler that guards its back end must not take it for the back end's.

    Attributes:
        error: What is the matter.
    """

    def __init__(self, error: LeaseLost | LogError) -> None:
        super().__init__(error.code)
        self.error = error


class Memory(Protocol):
    """What a handler's earlier calls have left, and where this one leaves what it does."""

    def result(self, name: str) -> tuple[Any] | None:
        """Return the result of a step that is done, in a tuple; None where it is not done."""

    def remember(self, name: str, result: Any, milliseconds: int) -> Any:
        """Keep the result of a step for good; return the one that is kept."""

    def answer(self, name: str) -> str | None:
        """Return what a person has answered; None where nobody has."""

    def alive(self) -> None:
        """Tell that the handler is still at work."""


@dataclass(slots=True)
class Notebook:
    """A memory that lasts as long as the process: for a site's tests of its own handlers.

    Attributes:
        results: The steps that are done, with their results.
        answers: What persons have answered, by the questions' names.
    """

    results: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    def result(self, name: str) -> tuple[Any] | None:
        """Return the result of a step that is done, in a tuple; None where it is not done."""
        return (self.results[name],) if name in self.results else None

    def remember(self, name: str, result: Any, milliseconds: int) -> Any:
        """Keep the result of a step; return the one that is kept."""
        return self.results.setdefault(name, result)

    def answer(self, name: str) -> str | None:
        """Return what a person has answered; None where nobody has."""
        return self.answers.get(name)

    def alive(self) -> None:
        """Tell that the handler is still at work."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Work:
    """One piece of work for a handler.

    Attributes:
        key: Stable for this packet, whatever crashes: an idempotency key for the site's back end.
        reply: The draft of the reply that is due, filled with all that the log knows. Set what only the site
            can say, and return it.
        request: The packet that began the transaction. A data packet does not name the resource: this does.
        packet: The packet that the handler was called with, which is not always the request.
        trans_rec_id: The transaction's record id at the service.
        attempt: 1 for the first call, then counted up after each that failed.
        anomalies: What is odd about the transaction: required items that are missing, say.
        memory: Where steps and answers are kept; in the log, but in tests of a handler alone.
        stopwatch: Gives seconds, to measure the steps by.
        clock: Gives the time, with its zone; `now` calls it.
    """

    key: str
    reply: Packet
    request: Packet
    packet: Packet
    trans_rec_id: str
    attempt: int = 1
    anomalies: tuple[str, ...] = ()
    memory: Memory = field(default_factory=Notebook, repr=False)
    stopwatch: Callable[[], float] = field(default=time.perf_counter, repr=False)
    clock: Callable[[], datetime] = field(default=_utc_now, repr=False)
    _named: set[tuple[str, str]] = field(default_factory=set, init=False, repr=False)

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Do something once: call a function, and keep what it returns, whatever crashes later.

        When the handler is called again, a step that is done is not: its result is returned. Only where the
        process dies after the function has done its work and before its result is kept is it called again;
        give such a function ``work.step_key(name)``, by which the back end knows that it has done it.

        Args:
            name: What it is called, once in a handler: it is on record, and no personal data may be in it.
            function: What to call.
            args: With what.
            kwargs: With what else.

        Returns:
            What the function returned, as JSON gives it back: a tuple is a list, a number as a key its text.

        Raises:
            StepInvalid: The name is none, or was used before; or the result is no JSON value.

        Where the handler took too long, so that another worker is at it, where its packet was answered or its
        transaction has ended meanwhile, or where the log can't be used, this ends the call of the handler,
        past every ``except Exception``: before the function is called, or, in the first two cases, once its
        result is kept.
        """
        self._use(name, "step")
        with _interrupting():
            done = self.memory.result(name)
        if done is not None:
            return done[0]
        began = self.stopwatch()
        result = _as_json(name, function(*args, **kwargs))
        with _interrupting():
            return self.memory.remember(name, result, round((self.stopwatch() - began) * 1000))

    def step_key(self, name: str) -> str:
        """Return a key for a step that never changes: an idempotency key for the site's back end."""
        return f"{self.key}/{name}"

    def ask(self, question: str, *, choices: Iterable[str] = (), name: str = "decision") -> str:
        """Return a person's answer. Until there is one, this ends the call of the handler.

        It is called again with the answer, which `amie-engine answer` or ``engine.work.answer`` gives, and
        which is on record with who gave it and when.

        Args:
            question: What the person is asked; kept with the documents, since it may hold personal data.
            choices: What may be answered; without, anything may.
            name: What the answer is asked for by, for a handler with several questions: no personal data.

        Raises:
            HandlerInvalid: The question or a choice says nothing, the name was used before, or the answer
                that was given is none of the choices: they were others then.
        """
        _require_text(question, "ask")
        choices = (choices,) if isinstance(choices, str) else tuple(choices)
        for choice in choices:
            _require_text(choice, "ask")
        self._use(name, "question")
        choices = tuple(choice.strip() for choice in choices)
        with _interrupting():
            answer = self.memory.answer(name)
        if answer is None:
            raise Asking(name, question, choices)
        if choices and answer not in choices:
            raise HandlerInvalid(
                f"What was answered to the question {name!r} is none of its choices, which were others then.",
                hint="A question that has changed is another one: give it a name of its own.",
            )
        return answer

    def now(self) -> datetime:
        """Return the time by the engine's clock, with its zone: in tests, that of the test. For what has to
        be the same at the next call, keep it in a step."""
        return self.clock()

    def alive(self) -> None:
        """Tell that a long handler is still at work, so that no other worker takes it over. Where one has, or
        where the work is over, this ends the call of the handler, past every ``except Exception``.
        """
        with _interrupting():
            self.memory.alive()

    def fail(self, message: str) -> Packet:
        """Return the inform that fails the transaction, for the handler to return.

        Args:
            message: Why, for the people at the hub; up to the site what it says.

        Raises:
            HandlerInvalid: It says nothing.
        """
        _require_text(message, "fail")
        return self.packet.reply_with_failure(message=message)

    def defer(self, *, until: datetime | None = None, reason: str) -> Deferral:
        """Return the wish to be called again later, for the handler to return.

        Args:
            until: Not before this time, with its zone; None for the next round.
            reason: Why, for the operator; no personal data.

        Raises:
            HandlerInvalid: ``until`` is no datetime or has no time zone, or ``reason`` says nothing.
        """
        _require_text(reason, "defer")
        if until is not None and not isinstance(until, datetime):
            raise HandlerInvalid(
                f"defer() was given a {type(until).__name__} for when to be called again.",
                hint="Give a time: work.now() + timedelta(...).",
            )
        if until is not None and until.tzinfo is None:
            raise HandlerInvalid(
                "defer() was given a time without a zone.", hint="Use work.now() + timedelta(...)."
            )
        return Deferral(until, reason)

    def _use(self, name: str, what: str) -> None:
        if not 0 < len(name.strip()) <= len(name) <= _LONGEST_NAME or not name.isprintable():
            raise StepInvalid(
                f"A {what} has no name that can be kept.",
                hint=f"Give it a text of 1 to {_LONGEST_NAME} printable characters.",
            )
        if (what, name) in self._named:
            raise StepInvalid(
                f"The handler has two {what}s of the name {name!r}: nothing tells them apart.",
                hint=f"Give each {what} a name of its own.",
            )
        self._named.add((what, name))


@contextmanager
def _interrupting() -> Iterator[None]:
    try:
        yield
    except (LeaseLost, LogError) as error:
        raise Interrupted(error) from error


def _as_json(name: str, result: Any) -> Any:
    """A result as the log gives it back."""
    try:
        text = canonical_json(result)
        value = json.loads(text)
        problem = text_problem(value, text)
    except (ValueError, TypeError, RecursionError):
        problem = f"A {type(result).__name__} is, or holds, something that JSON does not know."
    if problem is not None:
        raise StepInvalid(
            f"The result of the step {name!r} can't be kept, so that it will be done again: {problem}",
            hint="Have it return text, numbers, lists and dictionaries: an id is enough, mostly.",
        )
    return value


def _require_text(text: object, method: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise HandlerInvalid(f"{method}() was given no reason.", hint="Say in a few words why.")
