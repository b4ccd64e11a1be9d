"""An event as a site's own code is given it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from amie_engine.audit.timeline import sentence_of
from amie_engine.engine.folding import Folder
from amie_engine.log.events import Event
from amie_engine.log.store import EventLog

__all__ = ["RecordedEvent", "recorded"]


def _nothing() -> Any:
    return None


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """Something that happened, as it stands in the log. It holds no personal data but ids and logins; its
    document does.

    Attributes:
        position: Its number in the log: the same at every delivery, so that whoever remembers it can tell
            that an event has come again.
        type: What happened: one of the types in docs/log.md.
        recorded_at: When, with its zone.
        stream: The transaction's id in the log; of quarantine and erasures, an id of their own.
        trans_rec_id: The transaction's record id at the service, once it is known.
        packet_type: The type of the packet that the event is about.
        packet_rec_id: That packet's record id.
        sender: ``hub`` or ``site``: who sent it, or whose doing the event is.
        status: Of an inform: ``success`` or ``failure``.
        actor: Who caused it.
        facts: Ids, resources, amounts, dates and states; docs/log.md has their keys.
        sentence: What happened, in a sentence for people.
        read_document: Reads the document; `document` calls it.
        read_ending: Reads how the transaction ended; `ended_as` calls it.
    """

    position: int
    type: str
    recorded_at: datetime
    stream: str
    trans_rec_id: str | None = None
    packet_type: str | None = None
    packet_rec_id: str | None = None
    sender: str | None = None
    status: str | None = None
    actor: str = "engine"
    facts: Mapping[str, Any] = field(default_factory=dict)
    sentence: str = ""
    read_document: Callable[[], Any] = field(default=_nothing, repr=False, compare=False)
    read_ending: Callable[[], str | None] = field(default=_nothing, repr=False, compare=False)

    def document(self) -> Any:
        """Read the packet or result in full, with its personal data; None where there is none, or it was
        erased.

        Raises:
            LogError: The database can't be used.
        """
        return self.read_document()

    def ended_as(self) -> str | None:
        """Tell how its transaction ended with this event: ``completed`` or ``failed``; None for every other
        event. Whoever failed it, and in what way, it ends once.

        Raises:
            LogError: The database can't be used.
        """
        return self.read_ending()


def recorded(event: Event, log: EventLog) -> RecordedEvent:
    """Return an event of the log for a site's own code.

    Raises:
        EventUnreadable: This release does not know the event, or it is damaged.
    """

    def read_document() -> Any:
        with log.read() as reader:
            return reader.document(event.stream, event.version)

    def read_ending() -> str | None:
        with log.read() as reader:
            folded = Folder(reader.stream, states=1).fold(event)
        if folded.before is None or folded.after is None or folded.before.is_final:
            return None
        return str(folded.after.state) if folded.after.is_final else None

    return RecordedEvent(
        position=event.position,
        type=event.type,
        recorded_at=datetime.fromisoformat(event.recorded_at),
        stream=event.stream,
        trans_rec_id=event.trans_rec_id,
        packet_type=event.packet_type,
        packet_rec_id=event.packet_rec_id,
        sender=event.sender,
        status=event.status,
        actor=event.actor,
        facts=event.facts,
        sentence=sentence_of(event),
        read_document=read_document,
        read_ending=read_ending,
    )
