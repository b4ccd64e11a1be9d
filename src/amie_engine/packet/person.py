"""AMIE's packets about persons and their ids.

Source: "Implementing AMIE", the packet tables; the public client's tables; captures.
"""

from __future__ import annotations

from amie_engine.packet.base import Packet
from amie_engine.packet.fields import ListField, ObjectsField, TextField
from amie_engine.packet.header import expects

__all__ = ["NotifyPersonDuplicate", "NotifyPersonIDs", "RequestPersonMerge"]


class RequestPersonMerge(Packet):
    """The hub has merged the person ``Delete*`` into ``Keep*`` (RPM).

    The site may merge its own, or keep both.
    """

    __slots__ = ()

    _packet_type = "request_person_merge"
    _expected_reply = [expects("inform_transaction_complete")]

    DeleteGlobalID = TextField(required=True, fact=True)
    DeletePersonID = TextField(required=True, fact=True)
    DeletePortalLogin = TextField(personal=True)
    KeepGlobalID = TextField(required=True, fact=True)
    KeepPersonID = TextField(required=True, fact=True)
    KeepPortalLogin = TextField(personal=True)


class NotifyPersonDuplicate(Packet):
    """The site has found two persons to be one (NPD).

    Each of the two is named by its global id, its local id, or both.
    """

    __slots__ = ()

    _packet_type = "notify_person_duplicate"
    _expected_reply = [expects("inform_transaction_complete")]

    GlobalID1 = TextField(fact=True)
    GlobalID2 = TextField(fact=True)
    PersonID1 = TextField(fact=True)
    PersonID2 = TextField(fact=True)

    def _wrong_values(self) -> list[str]:
        problems = super()._wrong_values()
        for number in ("1", "2"):
            if self._body.get(f"GlobalID{number}") is None and self._body.get(f"PersonID{number}") is None:
                problems.append(f"Must provide either GlobalID{number} or PersonID{number}")
        return problems


class NotifyPersonIDs(Packet):
    """The site tells all the ids and logins that a person has there.

    Ids that are neither the primary one nor listed are deleted at the hub.
    """

    __slots__ = ()

    _packet_type = "notify_person_ids"
    _expected_reply = [expects("inform_transaction_complete")]

    PersonID = TextField(required=True, originating_required=True, fact=True)
    PersonIDList = ListField(fact=True)
    PersonIdList = ListField(fact=True, beyond_client=True)
    PrimaryPersonID = TextField(required=True, originating_required=True, fact=True)
    RemoveResourceList = ListField(fact=True)
    ResourceLogin = ObjectsField(items=("Resource", "Login", "UID"))
    ResourceLoginList = ObjectsField(beyond_client=True, items=("Resource", "Login", "UID"))
