"""AMIE's packets about a user's data.

Source: "Implementing AMIE", the packet tables; the public client's tables; captures.
"""

from __future__ import annotations

from amie_engine.packet.base import Packet
from amie_engine.packet.fields import ListField, ObjectsField, TextField
from amie_engine.packet.header import expects

__all__ = ["NotifyUserModify", "RequestUserModify"]


class _UserModify(Packet):
    """What the two packets about a user's data have in common."""

    __slots__ = ()

    ActionType: TextField

    def _wrong_values(self) -> list[str]:
        problems = super()._wrong_values()
        if self.ActionType not in ("add", "delete", "replace"):
            problems.append("ActionType must be add, delete or replace")
        return problems


class RequestUserModify(_UserModify):
    """Replace a person's data, or delete DNs of theirs (RUM).

    ``ActionType`` is ``replace`` or ``delete``; with ``replace`` a field that is absent is to be deleted, but
    for ``DnList``, whose DNs are added.
    """

    __slots__ = ()

    _packet_type = "request_user_modify"
    _expected_reply = [expects("inform_transaction_complete")]

    AcademicDegree = ObjectsField(personal=True, items=("Degree", "Field"))
    ActionType = TextField(required=True, fact=True, also=("Actiontype",))
    BusinessPhoneComment = TextField(personal=True)
    BusinessPhoneExtension = TextField(personal=True)
    BusinessPhoneNumber = TextField(personal=True)
    CitizenshipList = ListField(personal=True)
    City = TextField(personal=True)
    Country = TextField(personal=True)
    Department = TextField(personal=True)
    DnList = ListField(personal=True)
    Email = TextField(personal=True)
    Fax = TextField(personal=True)
    FirstName = TextField(personal=True)
    HomePhoneComment = TextField(personal=True)
    HomePhoneExtension = TextField(personal=True)
    HomePhoneNumber = TextField(personal=True)
    LastName = TextField(personal=True)
    MiddleName = TextField(personal=True)
    NsfStatusCode = TextField(personal=True)
    OrgCode = TextField()
    Organization = TextField()
    PersonID = TextField(required=True, fact=True)
    State = TextField(personal=True)
    StreetAddress = TextField(personal=True)
    StreetAddress2 = TextField(personal=True)
    Title = TextField(personal=True)
    Zip = TextField(personal=True)


class NotifyUserModify(_UserModify):
    """The site tells that a person's data changed there (NUM).

    ``ActionType`` is ``add``, ``delete`` or ``replace``.
    """

    __slots__ = ()

    _packet_type = "notify_user_modify"
    _expected_reply = [expects("inform_transaction_complete")]

    AcademicDegree = ObjectsField(personal=True, items=("Degree", "Field"))
    ActionType = TextField(required=True, originating_required=True, fact=True)
    BusinessPhoneComment = TextField(personal=True)
    BusinessPhoneExtension = TextField(personal=True)
    BusinessPhoneNumber = TextField(personal=True)
    City = TextField(personal=True)
    Country = TextField(personal=True)
    Department = TextField(personal=True)
    DnList = ListField(personal=True)
    Email = TextField(personal=True)
    Fax = TextField(personal=True)
    FirstName = TextField(personal=True)
    HomePhoneComment = TextField(personal=True)
    HomePhoneExtension = TextField(personal=True)
    HomePhoneNumber = TextField(personal=True)
    LastName = TextField(personal=True)
    MiddleName = TextField(personal=True)
    NsfStatusCode = TextField(personal=True, beyond_client=True)
    OrgCode = TextField()
    Organization = TextField()
    PersonID = TextField(required=True, originating_required=True, fact=True)
    State = TextField(personal=True)
    StreetAddress = TextField(personal=True, beyond_client=True)
    StreetAddress2 = TextField(personal=True, beyond_client=True)
    Title = TextField(personal=True, beyond_client=True)
    Zip = TextField(personal=True, beyond_client=True)
