"""AMIE's packets about accounts.

Source: "Implementing AMIE", the packet tables; the public client's tables; captures.
"""

from __future__ import annotations

from amie_engine.packet.base import Packet
from amie_engine.packet.fields import DateField, DateTimeField, ListField, ObjectsField, TextField
from amie_engine.packet.header import expects

__all__ = [
    "DataAccountCreate",
    "NotifyAccountCreate",
    "NotifyAccountInactivate",
    "NotifyAccountReactivate",
    "RequestAccountCreate",
    "RequestAccountInactivate",
    "RequestAccountReactivate",
]


class RequestAccountCreate(Packet):
    """Add a person's account to a project, or make it active again (RAC).

    ``ProjectID`` is absent where the hub does not know it yet: the site maps ``GrantNumber``.
    """

    __slots__ = ()

    _packet_type = "request_account_create"
    _expected_reply = [expects("notify_account_create")]

    AcademicDegree = ObjectsField(personal=True, items=("Degree", "Field"))
    AllocatedResource = TextField(fact=True)
    CitizenshipList = ListField(personal=True)
    GrantNumber = TextField(required=True, fact=True)
    NsfStatusCode = TextField(personal=True)
    ProjectID = TextField(fact=True)
    ResourceList = ListField(required=True, fact=True)
    RoleList = ListField(fact=True)
    SitePersonId = ObjectsField(personal=True, items=("Site", "PersonID"))
    UserBusinessPhoneComment = TextField(personal=True)
    UserBusinessPhoneExtension = TextField(personal=True)
    UserBusinessPhoneNumber = TextField(personal=True)
    UserCitizenship = TextField(personal=True, beyond_client=True)
    UserCity = TextField(personal=True)
    UserCountry = TextField(personal=True)
    UserDepartment = TextField(personal=True)
    UserDnList = ListField(personal=True)
    UserEmail = TextField(personal=True)
    UserFax = TextField(personal=True)
    UserFirstName = TextField(required=True, personal=True)
    UserGlobalID = TextField(fact=True)
    UserHomePhoneComment = TextField(personal=True)
    UserHomePhoneExtension = TextField(personal=True)
    UserHomePhoneNumber = TextField(personal=True)
    UserLastName = TextField(required=True, personal=True)
    UserMiddleName = TextField(personal=True)
    UserOrgCode = TextField(required=True)
    UserOrganization = TextField(required=True)
    UserPasswordAccessEnable = TextField()
    UserPersonID = TextField(fact=True)
    UserRemoteSiteLogin = TextField(fact=True, beyond_client=True)
    UserRequestedLoginList = ListField(personal=True)
    UserState = TextField(personal=True)
    UserStreetAddress = TextField(personal=True)
    UserStreetAddress2 = TextField(personal=True)
    UserTitle = TextField(personal=True)
    UserZip = TextField(personal=True)


class RequestAccountInactivate(Packet):
    """Make an account inactive, and keep its person id and login (RAI)."""

    __slots__ = ()

    _packet_type = "request_account_inactivate"
    _expected_reply = [expects("notify_account_inactivate")]

    AllocatedResource = TextField(fact=True, beyond_client=True)
    Comment = TextField()
    GrantNumber = TextField(fact=True, beyond_client=True)
    PersonID = TextField(required=True, fact=True)
    ProjectID = TextField(required=True, fact=True)
    ResourceList = ListField(required=True, fact=True)


class RequestAccountReactivate(Packet):
    """Make an account active again (RAR). The hub sends a request_account_create instead."""

    __slots__ = ()

    _packet_type = "request_account_reactivate"
    _expected_reply = [expects("notify_account_reactivate")]

    AllocatedResource = TextField(fact=True, beyond_client=True)
    Comment = TextField()
    GrantNumber = TextField(fact=True, beyond_client=True)
    PersonID = TextField(required=True, fact=True)
    ProjectID = TextField(required=True, fact=True)
    ResourceList = ListField(required=True, fact=True)


class NotifyAccountCreate(Packet):
    """The site has made the account (NAC), and says as whom, where and since when.

    It carries all the DNs that the site has for the person.
    """

    __slots__ = ()

    _packet_type = "notify_account_create"
    _expected_reply = [expects("data_account_create")]

    AcademicDegree = ObjectsField(required=True, inferable=True, personal=True, items=("Degree", "Field"))
    AccountActivityTime = DateTimeField(
        required=True, reply_required=True, originating_required=True, fact=True
    )
    GrantNumber = TextField(fact=True, beyond_client=True)
    NsfStatusCode = TextField(personal=True)
    ProjectID = TextField(required=True, reply_required=True, originating_required=True, fact=True)
    ResourceList = ListField(required=True, reply_required=True, originating_required=True, fact=True)
    ResourceLogin = ObjectsField(beyond_client=True, items=("Resource", "Login", "UID"))
    RoleList = ListField(fact=True)
    StartDate = DateField(originating_required=True, fact=True, beyond_client=True)
    UserBusinessPhoneComment = TextField(personal=True, beyond_client=True)
    UserBusinessPhoneExtension = TextField(personal=True)
    UserBusinessPhoneNumber = TextField(personal=True)
    UserCitizenship = TextField(personal=True, beyond_client=True)
    UserCity = TextField(personal=True)
    UserCountry = TextField(personal=True)
    UserDepartment = TextField(personal=True)
    UserDnList = ListField(personal=True)
    UserEmail = TextField(personal=True)
    UserFax = TextField(personal=True)
    UserFirstName = TextField(required=True, inferable=True, originating_required=True, personal=True)
    UserGlobalID = TextField(fact=True)
    UserHomePhoneComment = TextField(personal=True, beyond_client=True)
    UserHomePhoneExtension = TextField(personal=True)
    UserHomePhoneNumber = TextField(personal=True)
    UserLastName = TextField(required=True, inferable=True, originating_required=True, personal=True)
    UserMiddleName = TextField(personal=True)
    UserOrgCode = TextField(required=True, inferable=True, originating_required=True)
    UserOrganization = TextField(required=True, inferable=True, originating_required=True)
    UserPasswordAccessEnable = TextField()
    UserPersonID = TextField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )
    UserPosition = TextField(personal=True)
    UserRemoteSiteLogin = TextField(required=True, reply_required=True, originating_required=True, fact=True)
    UserRequestedLoginList = ListField(personal=True)
    UserState = TextField(personal=True)
    UserStreetAddress = TextField(personal=True)
    UserStreetAddress2 = TextField(personal=True)
    UserTitle = TextField(personal=True)
    UserUID = TextField(fact=True)
    UserZip = TextField(personal=True)


class NotifyAccountInactivate(Packet):
    """The site has made the account inactive (NAI)."""

    __slots__ = ()

    _packet_type = "notify_account_inactivate"
    _expected_reply = [expects("inform_transaction_complete")]

    AccountActivityTime = DateTimeField(fact=True, beyond_client=True)
    Comment = TextField()
    PersonID = TextField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )
    ProjectID = TextField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )
    ResourceList = ListField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )


class NotifyAccountReactivate(Packet):
    """The site has made the account active again (NAR)."""

    __slots__ = ()

    _packet_type = "notify_account_reactivate"
    _expected_reply = [expects("inform_transaction_complete")]

    AccountActivityTime = DateTimeField(fact=True, beyond_client=True)
    Comment = TextField()
    PersonID = TextField(required=True, reply_required=True, originating_required=True, fact=True)
    ProjectID = TextField(required=True, reply_required=True, originating_required=True, fact=True)
    ResourceList = ListField(required=True, reply_required=True, originating_required=True, fact=True)


class DataAccountCreate(Packet):
    """The hub has recorded the account (DAC). It brings the person's DNs, which the site adds.

    It follows the site's notify_account_create, and does not name the resource: that stands in the request.
    """

    __slots__ = ()

    _packet_type = "data_account_create"
    _expected_reply = [expects("inform_transaction_complete")]

    DnList = ListField(personal=True)
    GlobalID = TextField(fact=True, beyond_client=True)
    PersonID = TextField(required=True, fact=True)
    ProjectID = TextField(required=True, fact=True)
