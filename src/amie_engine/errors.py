"""Every exception that amie-engine raises.

::

    AMIEEngineError                         (Exception)
     ├─ PacketError                         (ValueError)
     │   ├─ PacketInvalidData               packet-invalid-data
     │   └─ PacketInvalidType               packet-invalid-type
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
     │   ├─ NothingRefused                  nothing-refused
     │   ├─ ChangeInvalid                   change-invalid
     │   ├─ QuarantineNotFound              quarantine-not-found
     │   ├─ WorkNotFound                    work-not-found
     │   ├─ AnswerInvalid                   answer-invalid
     │   ├─ SubscriberNotFound              subscriber-not-found
     │   ├─ SubscriberNotFailing            subscriber-not-failing
     │   ├─ PersonNotFound                  person-not-found
     │   └─ ErasureRefused                  erasure-refused
     ├─ LogError
     │   ├─ DatabaseSchemaMissing           database-schema-missing
     │   ├─ DatabaseSchemaOutdated          database-schema-outdated
     │   ├─ DatabaseSchemaNewer             database-schema-newer
     │   ├─ DatabaseForeign                 database-foreign
     │   ├─ DatabaseReplaced                database-replaced
     │   ├─ DatabaseUnavailable             database-unavailable
     │   │   ├─ DatabaseUnfit               database-unfit
     │   │   ├─ ConnectionLost              connection-lost
     │   │   └─ TemporaryTablesRefused      temporary-tables-refused
     │   ├─ CommitInDoubt                   commit-in-doubt
     │   ├─ ConcurrencyConflict             concurrency-conflict
     │   ├─ ConnectionNotJoinable           connection-not-joinable
     │   ├─ EventUnreadable                 event-unreadable
     │   ├─ LogDamaged                      log-damaged
     │   ├─ LogNotEmpty                     log-not-empty
     │   ├─ StagedCallsWaiting              staged-calls-waiting
     │   ├─ BackupFailed                    backup-failed
     │   └─ BackupUnsupported               backup-unsupported
     ├─ ExportError
     │   ├─ ExportUnreadable                export-unreadable
     │   ├─ ExportPartial                   export-partial
     │   └─ ExportRedacted                  export-redacted
     ├─ FileNotWritten                      file-not-written
     ├─ AddressUnusable                     address-unusable
     ├─ SiteError
     │   ├─ SiteFails                       site-fails
     │   ├─ HandlerInvalid                  handler-invalid
     │   ├─ HandlerReturnedNothing          handler-returned-nothing
     │   ├─ StepInvalid                     step-invalid
     │   └─ LeaseLost                       lease-lost
     │       └─ WorkOver                    work-over
     ├─ SandboxError
     │   └─ SandboxRefusal                  sandbox-refusal
     ├─ SealError
     │   ├─ NothingToSeal                   nothing-to-seal
     │   ├─ SealKeyUnusable                 seal-key-unusable
     │   ├─ SealUnreadable                  seal-unreadable
     │   ├─ SealInvalid                     seal-invalid
     │   └─ SealSignatureWrong              seal-signature-wrong
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
    "AddressUnusable",
    "AnswerInvalid",
    "BackupFailed",
    "BackupUnsupported",
    "ChangeInvalid",
    "CommitInDoubt",
    "ConcurrencyConflict",
    "ConnectionLost",
    "ConnectionNotJoinable",
    "DatabaseForeign",
    "DatabaseReplaced",
    "DatabaseSchemaMissing",
    "DatabaseSchemaNewer",
    "DatabaseSchemaOutdated",
    "DatabaseUnavailable",
    "DatabaseUnfit",
    "DependencyMissing",
    "EngineError",
    "ErasureRefused",
    "EventUnreadable",
    "ExportError",
    "ExportPartial",
    "ExportRedacted",
    "ExportUnreadable",
    "FileNotWritten",
    "HandlerInvalid",
    "HandlerReturnedNothing",
    "InternalError",
    "LeaseLost",
    "LogDamaged",
    "LogError",
    "LogNotEmpty",
    "NothingRefused",
    "NothingToSeal",
    "PacketError",
    "PacketInvalidData",
    "PacketInvalidType",
    "PersonNotFound",
    "ProtocolTableError",
    "QuarantineNotFound",
    "ReplyAlreadyDecided",
    "ReplyIncomplete",
    "ReplyInvalid",
    "ReplyNotDue",
    "SandboxError",
    "SandboxRefusal",
    "SealError",
    "SealInvalid",
    "SealKeyUnusable",
    "SealSignatureWrong",
    "SealUnreadable",
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
    "SiteFails",
    "StagedCallsWaiting",
    "StartNotAllowed",
    "StepInvalid",
    "SubscriberNotFailing",
    "SubscriberNotFound",
    "TemporaryTablesRefused",
    "TransactionClosed",
    "TransactionNotFound",
    "WorkNotFound",
    "WorkOver",
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


class AMIERequestError(AMIEEngineError, requests.RequestException):
    """The AMIE service did not do what it was asked. ``response`` is its answer, if there was one.

    ``nothing_done`` tells that the service surely did nothing: it was not reached, or says itself (and no
    proxy for it) that it refuses the key or wants fewer calls. ``retry_after`` are the seconds that it asks
    to wait, or None.
    """

    code = "service-error"
    nothing_done: bool = False
    retry_after: float | None = None


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

    why: str = ""
    """What it is, in words that quote nothing of it; empty where the message tells."""

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


class NothingRefused(EngineError):
    """Nothing that the service refused waits in the transaction to be sent again."""

    code = "nothing-refused"
    default_hint = "See with `amie-engine show` what became of it; somebody may have sent it again already."


class ChangeInvalid(EngineError, ValueError):
    """What is to be changed in a packet is no field of it, or the value is not of the field's kind."""

    code = "change-invalid"


class QuarantineNotFound(EngineError, LookupError):
    """Nothing in quarantine has this id."""

    code = "quarantine-not-found"
    default_hint = "List what is there with `amie-engine quarantine`."


class WorkNotFound(EngineError):
    """No work of a transaction waits for what a person wants to do about it."""

    code = "work-not-found"


class AnswerInvalid(EngineError):
    """An answer is none of those that the site's handler has to choose from."""

    code = "answer-invalid"


class SubscriberNotFound(EngineError, LookupError):
    """Nobody of that name has followed the log."""

    code = "subscriber-not-found"
    default_hint = "`amie-engine subscribers` lists them."


class SubscriberNotFailing(EngineError):
    """The subscriber is kept by no event, so that there is none to skip or to try again."""

    code = "subscriber-not-failing"
    default_hint = "`amie-engine subscribers` shows what keeps whom."


class PersonNotFound(EngineError, LookupError):
    """Nothing in the log concerns a person of this id or login."""

    code = "person-not-found"
    default_hint = "Give a local id, a global id or a login; `amie-engine audit --person` takes the same."


class ErasureRefused(EngineError):
    """Something of the person's is under way, or the erasure is not told well enough to be on record."""

    code = "erasure-refused"


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


class DatabaseReplaced(LogError):
    """The file of a SQLite log was removed, or another put in its place, while the log was in use."""

    code = "database-replaced"
    default_hint = "Put it back, or restart what uses it. Restore a backup only while nothing uses the log."


class DatabaseUnfit(DatabaseUnavailable):
    """The database's URL is none, or names a kind of database or a driver that the log can't use."""

    code = "database-unfit"
    default_hint = "Give a URL such as sqlite:///amie.db or postgresql://user@host/name."
    retryable = False


class ConnectionLost(DatabaseUnavailable):
    """The connection to the database broke in the middle of a call; what the call had written is undone."""

    code = "connection-lost"
    default_hint = "Call again; if it comes often, see what the server's own log says of it."


class TemporaryTablesRefused(DatabaseUnavailable):
    """The database allows no temporary tables, in which the projections are made anew."""

    code = "temporary-tables-refused"
    default_hint = (
        "Ask the primary server, in a session that may write, as a role with TEMPORARY on the database; the"
        " events alone can be verified here: `amie-engine verify --events-only`."
    )
    retryable = False


class CommitInDoubt(LogError):
    """The connection broke at a commit, and the database can't be asked whether it has committed."""

    code = "commit-in-doubt"
    default_hint = (
        "Look with `amie-engine show` whether it is there before you call again; a packet can be received"
        " again without harm."
    )


class ConcurrencyConflict(LogError):
    """Another process changed the same transaction at the same moment, again and again."""

    code = "concurrency-conflict"
    default_hint = "Call again: the state has moved on."
    retryable = True


class ConnectionNotJoinable(LogError):
    """A call can't be part of the transaction on the connection that it was given."""

    code = "connection-not-joinable"


class EventUnreadable(LogError):
    """An event in the log has a type or a schema version that this release does not know, or was damaged."""

    code = "event-unreadable"
    default_hint = "Install the release that wrote it, or a later one."


class LogDamaged(LogError):
    """An event of the log is missing, or the counter row does not say what the newest event says."""

    code = "log-damaged"
    default_hint = (
        "Change nothing in it: keep a copy of the database as it is, and see with `amie-engine verify` what"
        " is wrong."
    )


class LogNotEmpty(LogError):
    """A log can only be imported where there is none yet."""

    code = "log-not-empty"
    default_hint = "Give the URL of a database without a log; nothing was changed in this one."


class StagedCallsWaiting(LogError):
    """A database can't be imported from: calls wait in it that were staged and not carried out."""

    code = "staged-calls-waiting"
    default_hint = (
        "Have them carried out with `amie-engine poll`, or any call of the engine, and import again."
    )


class BackupFailed(LogError):
    """The copy of a database is not what it should be."""

    code = "backup-failed"
    default_hint = "It was removed. Back up again; if it fails again, check the disk and the database itself."


class BackupUnsupported(LogError):
    """The database is of a kind that has tools of its own for backups."""

    code = "backup-unsupported"


class ExportError(AMIEEngineError):
    """An export of a log can't be imported."""

    code = "export-error"


class ExportUnreadable(ExportError):
    """What was to be imported is no export, or is damaged or cut off."""

    code = "export-unreadable"
    default_hint = "Nothing was imported. Export the log again, and copy the file whole."


class ExportPartial(ExportError):
    """An export does not begin with the log's first event."""

    code = "export-partial"
    default_hint = "Nothing was imported. Import an export that was made without --after."


class ExportRedacted(ExportError):
    """An export has pseudonyms in place of what is personal."""

    code = "export-redacted"
    default_hint = "Nothing was imported. Import an export that was made without --redact."


class FileNotWritten(AMIEEngineError):
    """A file is there already, or can't be written. What was there before is as it was."""

    code = "file-not-written"
    default_hint = "Check that its folder is there and may be written, and that the disk is not full."


class AddressUnusable(AMIEEngineError):
    """Nothing can be served at an address and a port."""

    code = "address-unusable"
    default_hint = "Set metrics_host and metrics_port to what is this machine's, and free."


class SiteError(AMIEEngineError):
    """The site's own code is not what the engine can call."""

    code = "site-error"


class SiteFails(SiteError):
    """The site's own code raised while it was loaded."""

    code = "site-fails"
    default_hint = "Mend it there; AMIE_ENGINE_TRACEBACK=1 shows the whole traceback."


class HandlerInvalid(SiteError, TypeError):
    """A handler is registered twice, or for a packet that no site answers."""

    code = "handler-invalid"


class HandlerReturnedNothing(SiteError, TypeError):
    """A handler returned neither a reply nor a decision to wait or to fail."""

    code = "handler-returned-nothing"
    default_hint = "Return a packet (`return reply`), or call `work.defer(...)` or `work.fail(...)`."


class StepInvalid(SiteError, TypeError):
    """A step of a handler has a name that another one has, or a result that can't be kept."""

    code = "step-invalid"


class LeaseLost(SiteError):
    """A handler took longer than its lease, and another worker has taken its work over."""

    code = "lease-lost"
    default_hint = "Divide the handler into steps, call `work.alive()`, or give the site a longer lease."


class WorkOver(LeaseLost):
    """Work was answered, or its transaction ended, while its handler was at it."""

    code = "work-over"
    default_hint = "The steps that it has done are on record: see `amie-engine show`."


class SandboxError(AMIEEngineError):
    """The sandbox can't do what it was asked."""

    code = "sandbox-error"


class SandboxRefusal(SandboxError):
    """The sandbox's AMIE service refuses a call, as the real service would. ``status`` is the HTTP status."""

    code = "sandbox-refusal"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class SealError(AMIEEngineError):
    """A seal of the log can't be made or read."""

    code = "seal-error"


class NothingToSeal(SealError):
    """The log has no events."""

    code = "nothing-to-seal"
    default_hint = "Seal it once it has some; check its URL if it should have."


class SealKeyUnusable(SealError):
    """A key for seals can't be read, or is none."""

    code = "seal-key-unusable"
    default_hint = "Make a pair of keys with `amie-engine seal --new-key FILE`."


class SealUnreadable(SealError):
    """The file of a seal can't be read."""

    code = "seal-unreadable"
    default_hint = "Check the path, and who may read it."


class SealInvalid(SealError, ValueError):
    """A file has no seal in it, or one that is damaged."""

    code = "seal-invalid"
    default_hint = "Give a file that `amie-engine seal` has made."


class SealSignatureWrong(SealError):
    """A seal was changed after it was signed, or was signed with another key."""

    code = "seal-signature-wrong"
    default_hint = "Somebody has changed it: don't rely on it, and take the one that you keep elsewhere."


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
