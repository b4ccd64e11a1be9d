"""Every exception that amie-engine raises.

::

    AMIEEngineError                         (Exception)
     ├─ PacketError                         (ValueError)
     │   ├─ PacketInvalidData               packet-invalid-data
     │   ├─ PacketInvalidType               packet-invalid-type
     │   └─ PacketUnreadable                packet-unreadable
     ├─ AMIERequestError                    (requests.RequestException)  service-error
     │   ├─ ServiceUnreachable              service-unreachable
     │   ├─ ServiceAuthenticationError      service-authentication
     │   ├─ ServiceNotFound                 service-not-found
     │   ├─ ServiceConflict                 service-conflict
     │   ├─ ServiceValidationError          service-validation
     │   ├─ ServiceRateLimited              service-rate-limited
     │   ├─ ServiceFault                    service-fault
     │   └─ ServiceUnreadableAnswer         service-unreadable-answer
     ├─ ProtocolTableError                  protocol-table
     ├─ EngineError
     │   ├─ TransactionNotFound             transaction-not-found
     │   ├─ TransactionClosed               transaction-closed
     │   ├─ ReplyNotDue                     reply-not-due
     │   ├─ ReplyAlreadyDecided             reply-already-decided
     │   ├─ ReplyIncomplete                 reply-incomplete
     │   ├─ ReplyInvalid                    reply-invalid
     │   ├─ StartNotAllowed                 start-not-allowed
     │   └─ QuarantineNotFound              quarantine-not-found
     ├─ LogError
     │   ├─ DatabaseSchemaMissing           database-schema-missing
     │   ├─ DatabaseSchemaOutdated          database-schema-outdated
     │   ├─ DatabaseSchemaNewer             database-schema-newer
     │   ├─ DatabaseForeign                 database-foreign
     │   ├─ DatabaseUnavailable             database-unavailable
     │   ├─ ConcurrencyConflict             concurrency-conflict
     │   └─ EventUnreadable                 event-unreadable
     ├─ SiteError
     │   ├─ HandlerInvalid                  handler-invalid
     │   └─ HandlerReturnedNothing          handler-returned-nothing
     ├─ SandboxError
     │   └─ SandboxRefusal                  sandbox-refusal
     ├─ DependencyMissing                   (ImportError)  dependency-missing
     ├─ SettingsError                       settings-invalid
     └─ InternalError                       internal-error

An error says what happened, to which packet or transaction, and what to do next (``hint``). Its
``code`` never changes, and docs/errors.md has a paragraph for each. ``retryable`` tells whether the
same call may succeed later without anybody doing anything. No message holds a key or personal data.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, ClassVar

import requests

__all__ = [
    "AMIEEngineError",
    "AMIERequestError",
    "ConcurrencyConflict",
    "DatabaseForeign",
    "DatabaseSchemaMissing",
    "DatabaseSchemaNewer",
    "DatabaseSchemaOutdated",
    "DatabaseUnavailable",
    "DependencyMissing",
    "EngineError",
    "EventUnreadable",
    "HandlerInvalid",
    "HandlerReturnedNothing",
    "InternalError",
    "LogError",
    "PacketError",
    "PacketInvalidData",
    "PacketInvalidType",
    "PacketUnreadable",
    "ProtocolTableError",
    "QuarantineNotFound",
    "ReplyAlreadyDecided",
    "ReplyIncomplete",
    "ReplyInvalid",
    "ReplyNotDue",
    "SandboxError",
    "SandboxRefusal",
    "ServiceAuthenticationError",
    "ServiceConflict",
    "ServiceFault",
    "ServiceNotFound",
    "ServiceRateLimited",
    "ServiceUnreachable",
    "ServiceUnreadableAnswer",
    "ServiceValidationError",
    "SettingsError",
    "SiteError",
    "StartNotAllowed",
    "TransactionClosed",
    "TransactionNotFound",
]


class AMIEEngineError(Exception):
    """Anything that amie-engine raises on purpose.

    ``message`` is what happened, ``hint`` what to do next, ``code`` the stable name of the error.
    """

    code: ClassVar[str] = "amie-engine"
    default_hint: ClassVar[str] = ""
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None, **context: Any) -> None:
        super().__init__(message, **context)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    def __reduce__(self) -> tuple[Any, ...]:
        # A task queue hands errors from process to process, whatever arguments they were made with.
        return _restored, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        hint = f" {self.hint}" if self.hint else ""
        return f"{self.message}{hint} [{self.code}]"


def _restored(kind: type[AMIEEngineError], args: tuple[Any, ...], state: dict[str, Any]) -> AMIEEngineError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class PacketError(AMIEEngineError, ValueError):
    """A packet, or the document of one, is not what AMIE allows."""

    code = "packet-error"


class PacketInvalidData(PacketError):
    """A packet lacks required items, or an item has a value that it can't have."""

    code = "packet-invalid-data"


class PacketInvalidType(PacketError):
    """No packet type has that name, or that type is not expected here."""

    code = "packet-invalid-type"


class PacketUnreadable(PacketError):
    """What came is no packet document: not JSON, not text, or not of a packet's structure."""

    code = "packet-unreadable"
    default_hint = "Look at it with `amie-engine quarantine`, and ask the service's operators to mend it."


class AMIERequestError(AMIEEngineError, requests.RequestException):
    """The AMIE service did not do what it was asked. ``response`` is its answer, if there was one."""

    code = "service-error"


class ServiceUnreachable(AMIERequestError):
    """No answer came: no connection, a timeout, or a connection cut off in the middle."""

    code = "service-unreachable"
    default_hint = "Check the network and the service's URL; the call may or may not have been carried out."
    retryable = True


class ServiceAuthenticationError(AMIERequestError):
    """The service refused the site's name and key (401 or 403)."""

    code = "service-authentication"
    default_hint = "Check the site's name and API key, and that the key is still valid at the service."


class ServiceNotFound(AMIERequestError):
    """The service knows no such packet or transaction (404)."""

    code = "service-not-found"
    default_hint = "Check the id, the site's name and the service's URL."


class ServiceConflict(AMIERequestError):
    """The state of the packet or transaction at the service does not allow this (409)."""

    code = "service-conflict"
    default_hint = "Fetch the transaction and compare its state with `amie-engine show`."


class ServiceValidationError(AMIERequestError):
    """The service found the packet or the query invalid (400 or 422)."""

    code = "service-validation"
    default_hint = "Mend what the message names, and send it again."


class ServiceRateLimited(AMIERequestError):
    """The service asks for fewer calls (429)."""

    code = "service-rate-limited"
    default_hint = "Wait, and poll less often."
    retryable = True


class ServiceFault(AMIERequestError):
    """The service failed on its own side (5xx); whether it acted is not known."""

    code = "service-fault"
    default_hint = "Try again later; before sending a packet again, look whether it has arrived."
    retryable = True


class ServiceUnreadableAnswer(AMIERequestError):
    """The service, or a proxy before it, answered with something that is not the JSON of the API."""

    code = "service-unreadable-answer"
    default_hint = "Check that the URL is the AMIE API's and that no proxy or login page answers for it."
    retryable = True


class ProtocolTableError(AMIEEngineError):
    """The rows of a transaction type contradict each other."""

    code = "protocol-table"


class EngineError(AMIEEngineError):
    """The engine can't do what it was asked, for a reason that the log knows."""

    code = "engine-error"


class TransactionNotFound(EngineError, LookupError):
    """The log has no such transaction."""

    code = "transaction-not-found"
    default_hint = "List what there is with `amie-engine transactions`."


class TransactionClosed(EngineError):
    """The transaction has completed or failed: nothing more can be said in it."""

    code = "transaction-closed"
    default_hint = "See what ended it with `amie-engine show`."


class ReplyNotDue(EngineError):
    """It is not the site's turn, or the packet is not one that may be sent now."""

    code = "reply-not-due"
    default_hint = "Ask `expected_reply` whose turn it is and which packet types are due."


class ReplyAlreadyDecided(EngineError):
    """The packet has been answered already: there is one reply to a request, ever."""

    code = "reply-already-decided"
    default_hint = "To fail the transaction after its reply has gone out, use `Engine.fail`."


class ReplyIncomplete(EngineError, ValueError):
    """The packet lacks items that AMIE requires of it. ``missing`` names them."""

    code = "reply-incomplete"
    default_hint = "Set the items that are named, and send it again."

    def __init__(self, message: str, *, missing: tuple[str, ...], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.missing = missing


class ReplyInvalid(EngineError, ValueError):
    """The packet says something that AMIE forbids."""

    code = "reply-invalid"
    default_hint = "Mend what is named, and send it again."


class StartNotAllowed(EngineError, ValueError):
    """A site may not begin a transaction with a packet of this type."""

    code = "start-not-allowed"


class QuarantineNotFound(EngineError, LookupError):
    """Nothing in quarantine has this id."""

    code = "quarantine-not-found"
    default_hint = "List what is there with `amie-engine quarantine`."


class LogError(AMIEEngineError):
    """The event log can't be opened, read or written."""

    code = "log-error"


class DatabaseSchemaMissing(LogError):
    """The database has no amie-engine tables yet."""

    code = "database-schema-missing"
    default_hint = "Create them with `amie-engine migrate`."


class DatabaseSchemaOutdated(LogError):
    """The database was made by an older release."""

    code = "database-schema-outdated"
    default_hint = "Back it up, then bring it up to date with `amie-engine migrate`."


class DatabaseSchemaNewer(LogError):
    """The database was made by a newer release than this one."""

    code = "database-schema-newer"
    default_hint = "Install the release that made it, or a later one."


class DatabaseForeign(LogError):
    """The database belongs to another application."""

    code = "database-foreign"
    default_hint = "Give another database URL; nothing was changed."


class DatabaseUnavailable(LogError):
    """The database can't be opened, is locked for too long, or refuses to be written."""

    code = "database-unavailable"
    default_hint = "Check that the server runs, the path exists and may be written, and the disk is not full."
    retryable = True


class ConcurrencyConflict(LogError):
    """Another process changed the same transaction at the same moment, again and again."""

    code = "concurrency-conflict"
    default_hint = "Call again: the state has moved on."
    retryable = True


class EventUnreadable(LogError):
    """An event in the log has a type or a schema version that this release does not know."""

    code = "event-unreadable"
    default_hint = "Install the release that wrote it, or a later one."


class SiteError(AMIEEngineError):
    """The site's own code is not what the engine can call."""

    code = "site-error"


class HandlerInvalid(SiteError, TypeError):
    """A handler is registered twice, or for a packet that no site answers."""

    code = "handler-invalid"


class HandlerReturnedNothing(SiteError, TypeError):
    """A handler returned neither a reply nor a decision to wait or to fail."""

    code = "handler-returned-nothing"
    default_hint = "Return a packet (`return reply`), or call `work.defer(...)` or `work.fail(...)`."


class SandboxError(AMIEEngineError):
    """The sandbox can't do what it was asked."""

    code = "sandbox-error"


class SandboxRefusal(SandboxError):
    """The sandbox's AMIE service refuses a call, as the real service would. ``status`` is the HTTP status."""

    code = "sandbox-refusal"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class DependencyMissing(AMIEEngineError, ImportError):
    """A part of amie-engine was imported whose optional dependencies are not installed."""

    code = "dependency-missing"


class SettingsError(AMIEEngineError, ValueError):
    """A setting is missing or has a value that it can't have."""

    code = "settings-invalid"


class InternalError(AMIEEngineError):
    """Something happened that amie-engine did not foresee. Its cause is the exception itself."""

    code = "internal-error"
    default_hint = "This is a defect in amie-engine; please report it."

    @classmethod
    def caused_by(cls, error: BaseException, doing: str) -> InternalError:
        """Return the error for an exception that nothing foresaw, without the exception's own text.

        Args:
            error: The exception. Its class and its place in the code are told; its text may quote a packet.
            doing: What was being done, to complete "... while".
        """
        frames = traceback.extract_tb(error.__traceback__)
        place = f", at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        internal = cls(f"{type(error).__name__} while {doing}{place}.")
        internal.__cause__ = error
        return internal
