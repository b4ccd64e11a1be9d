"""The queries by which a site lists its packets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from amie_engine.errors import PacketInvalidData, SandboxRefusal
from amie_engine.packet.fields import parse_datetime
from amie_engine.packet.header import read_record_id
from amie_engine.protocol import Party
from amie_engine.sandbox.ledger import IN_PROGRESS, Ledger, PacketRecord

__all__ = ["PacketQuery"]


@dataclass(frozen=True, slots=True)
class PacketQuery:
    """Which packets a site wants to see. Without anything: all that are in progress.

    Args:
        trans_rec_ids: Only of these transactions; whatever their packets' state, unless ``states`` is given.
        senders: Only those that these parties sent.
        updated_from: Only those whose states changed at or after this moment.
        updated_until: Only those whose states changed at or before this moment.
        states: Only those in these packet states.
        client_states: Only those with these client states.
        transaction_states: Only those of transactions in these states; whatever the packets' state, unless
            ``states`` is given.
    """

    trans_rec_ids: frozenset[int] | None = None
    senders: frozenset[Party] = frozenset(Party)
    updated_from: datetime | None = None
    updated_until: datetime | None = None
    states: frozenset[str] | None = None
    client_states: frozenset[str] | None = None
    transaction_states: frozenset[str] | None = None

    @classmethod
    def parse(
        cls,
        *,
        trans_rec_id: str | None = None,
        outgoing: str | None = None,
        incoming: str | None = None,
        update_time: str | None = None,
        states: str | None = None,
        client_state: str | None = None,
        transaction_state: str | None = None,
    ) -> PacketQuery:
        """Return the query that the parameters of a call ask for; lists are joined by commas.

        Raises:
            SandboxRefusal: A parameter is not of its form.
        """
        start, until = _period(update_time)
        return cls(
            trans_rec_ids=_ids(trans_rec_id),
            senders=_senders(_flag(incoming, "incoming"), _flag(outgoing, "outgoing")),
            updated_from=start,
            updated_until=until,
            states=_names(states),
            client_states=_names(client_state),
            transaction_states=_names(transaction_state),
        )

    @property
    def is_inbox(self) -> bool:
        """Whether the query is for what is in progress, and not for the history."""
        return self.trans_rec_ids is None and self.transaction_states is None and self.states is None

    def find(self, ledger: Ledger) -> list[PacketRecord]:
        """Return the packets that the query is for, the oldest first. For those that are in progress, the
        effort does not grow with what has been completed."""
        if self.trans_rec_ids is not None:
            return ledger.packets_of(self.trans_rec_ids, self._wants)
        if self.is_inbox or self.states == frozenset({IN_PROGRESS}):
            return ledger.open_packets(self._wants)
        return ledger.packets(self._wants)

    def _wants(self, packet: PacketRecord) -> bool:
        return (
            packet.sender in self.senders
            and (self.states is None or packet.state in self.states)
            and (self.client_states is None or packet.client_state in self.client_states)
            and (self.transaction_states is None or packet.transaction.wire_state in self.transaction_states)
            and (self.updated_from is None or packet.updated >= self.updated_from)
            and (self.updated_until is None or packet.updated <= self.updated_until)
        )


def _names(text: str | None) -> frozenset[str] | None:
    names = frozenset(filter(None, (name.strip() for name in (text or "").split(","))))
    return names or None


def _ids(text: str | None) -> frozenset[int] | None:
    names = _names(text)
    if names is None:
        return None
    try:
        return frozenset(int(read_record_id(name, "trans_rec_id") or 0) for name in names)
    except PacketInvalidData:
        raise SandboxRefusal(400, "trans_rec_id is no list of ids of up to 38 digits.") from None


def _flag(text: str | None, name: str) -> bool | None:
    if not text:
        return None
    flags = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in flags:
        raise SandboxRefusal(400, f"{name} is neither true nor false.")
    return flags[text.lower()]


def _senders(incoming: bool | None, outgoing: bool | None) -> frozenset[Party]:
    """Incoming is what the hub sent to the site. True asks for a direction alone, false leaves it out."""
    wanted = {Party.HUB: incoming, Party.SITE: outgoing}
    asked = frozenset(party for party, flag in wanted.items() if flag)
    return asked or frozenset(party for party, flag in wanted.items() if flag is None)


def _period(text: str | None) -> tuple[datetime | None, datetime | None]:
    if not text:
        return None, None
    parts = text.split(",")
    moments = [parse_datetime(part) if part.strip() else None for part in parts]
    if len(parts) != 2 or any(
        part.strip() and not moment for part, moment in zip(parts, moments, strict=True)
    ):
        raise SandboxRefusal(
            400, "update_time is not of the form start,end in ISO 8601; either may be empty."
        )
    return moments[0], moments[1]
