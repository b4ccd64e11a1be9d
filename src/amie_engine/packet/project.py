"""AMIE's packets about projects.

Source: "Implementing AMIE", the packet tables; the public client's tables; captures.
"""

from __future__ import annotations

from amie_engine.packet.base import Packet
from amie_engine.packet.fields import (
    AmountField,
    DateField,
    DateTimeField,
    ListField,
    ObjectsField,
    TextField,
)
from amie_engine.packet.header import expects

__all__ = [
    "DataProjectCreate",
    "NotifyProjectCreate",
    "NotifyProjectInactivate",
    "NotifyProjectReactivate",
    "RequestProjectCreate",
    "RequestProjectInactivate",
    "RequestProjectReactivate",
]


class RequestProjectCreate(Packet):
    """Create a project and its PI's account, or change its allocation by ``AllocationType`` (RPC).

    It also makes an inactive project active again, and of its accounts only the PI's.
    """

    __slots__ = ()

    _packet_type = "request_project_create"
    _expected_reply = [expects("notify_project_create")]

    Abstract = TextField()
    AcademicDegree = ObjectsField(personal=True, items=("Degree", "Field"))
    AllocatedResource = TextField(fact=True)
    AllocationType = TextField(required=True, fact=True)
    BoardType = TextField(fact=True)
    ChargeNumber = TextField(fact=True)
    CitizenshipList = ListField(personal=True)
    EndDate = DateField(required=True, fact=True)
    GrantNumber = TextField(required=True, fact=True)
    GrantType = TextField(fact=True)
    NsfStatusCode = TextField(personal=True)
    PfosNumber = TextField(required=True, fact=True)
    PiBusinessPhoneComment = TextField(personal=True)
    PiBusinessPhoneExtension = TextField(personal=True)
    PiBusinessPhoneNumber = TextField(personal=True)
    PiCitizenship = TextField(personal=True, beyond_client=True)
    PiCity = TextField(personal=True)
    PiCountry = TextField(personal=True)
    PiDepartment = TextField(personal=True)
    PiDnList = ListField(personal=True)
    PiEmail = TextField(personal=True)
    PiFax = TextField(personal=True)
    PiFirstName = TextField(required=True, personal=True)
    PiGlobalID = TextField(fact=True)
    PiHomePhoneComment = TextField(personal=True)
    PiHomePhoneExtension = TextField(personal=True)
    PiHomePhoneNumber = TextField(personal=True)
    PiLastName = TextField(required=True, personal=True)
    PiMiddleName = TextField(personal=True)
    PiOrgCode = TextField(required=True)
    PiOrganization = TextField(required=True)
    PiPersonID = TextField(fact=True)
    PiRequestedLoginList = ListField(personal=True)
    PiState = TextField(personal=True)
    PiStreetAddress = TextField(personal=True)
    PiStreetAddress2 = TextField(personal=True)
    PiTitle = TextField(personal=True)
    PiZip = TextField(personal=True)
    ProjectID = TextField(fact=True)
    ProjectTitle = TextField()
    ProposalNumber = TextField(fact=True, beyond_client=True)
    RecordID = TextField(required=True, fact=True)
    RequestType = TextField(fact=True)
    ResourceList = ListField(required=True, fact=True)
    RoleList = ListField(fact=True)
    ServiceUnitsAllocated = AmountField(required=True, fact=True)
    Sfos = ObjectsField(items=("Number",))
    SitePersonId = ObjectsField(personal=True, items=("Site", "PersonID"))
    StartDate = DateField(required=True, fact=True)


class RequestProjectInactivate(Packet):
    """Make a project and all its accounts inactive (RPI)."""

    __slots__ = ()

    _packet_type = "request_project_inactivate"
    _expected_reply = [expects("notify_project_inactivate")]

    AllocatedResource = TextField(fact=True)
    Comment = TextField()
    EndDate = DateField(fact=True)
    GrantNumber = TextField(fact=True)
    PersonID = TextField(fact=True, beyond_client=True)
    ProjectID = TextField(required=True, fact=True)
    ResourceList = ListField(required=True, fact=True)
    ServiceUnitsAllocated = AmountField(fact=True)
    ServiceUnitsRemaining = AmountField(fact=True)
    StartDate = DateField(fact=True)


class RequestProjectReactivate(Packet):
    """Make a project active again, and of its accounts only the PI's (RPR)."""

    __slots__ = ()

    _packet_type = "request_project_reactivate"
    _expected_reply = [expects("notify_project_reactivate")]

    AllocatedResource = TextField(fact=True)
    Comment = TextField()
    EndDate = DateField(fact=True)
    GrantNumber = TextField(fact=True)
    PersonID = TextField(fact=True)
    ProjectID = TextField(required=True, fact=True)
    ResourceList = ListField(required=True, fact=True)
    ServiceUnitsAllocated = AmountField(fact=True)
    ServiceUnitsRemaining = AmountField(fact=True)
    StartDate = DateField(fact=True)


class NotifyProjectCreate(Packet):
    """The site has made the project and its PI's account (NPC).

    It carries all the DNs that the site has for the PI.
    """

    __slots__ = ()

    _packet_type = "notify_project_create"
    _expected_reply = [expects("data_project_create")]

    Abstract = TextField()
    AcademicDegree = ObjectsField(personal=True, items=("Degree", "Field"))
    AccountActivityTime = DateTimeField(originating_required=True, fact=True, beyond_client=True)
    AllocationType = TextField(originating_required=True, fact=True)
    BoardType = TextField(originating_required=True, fact=True, beyond_client=True)
    EndDate = DateField(fact=True)
    GrantNumber = TextField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )
    GrantType = TextField(fact=True, beyond_client=True)
    NsfStatusCode = TextField(personal=True)
    PfosNumber = TextField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )
    PiBusinessPhoneComment = TextField(personal=True)
    PiBusinessPhoneExtension = TextField(personal=True)
    PiBusinessPhoneNumber = TextField(personal=True)
    PiCitizenship = TextField(personal=True, beyond_client=True)
    PiCity = TextField(personal=True)
    PiCountry = TextField(personal=True)
    PiDepartment = TextField(personal=True)
    PiDnList = ListField(personal=True)
    PiEmail = TextField(personal=True)
    PiFax = TextField(personal=True)
    PiFirstName = TextField(originating_required=True, personal=True)
    PiGlobalID = TextField(fact=True)
    PiHomePhoneComment = TextField(personal=True)
    PiHomePhoneExtension = TextField(personal=True)
    PiHomePhoneNumber = TextField(personal=True)
    PiLastName = TextField(originating_required=True, personal=True)
    PiMiddleName = TextField(personal=True)
    PiOrgCode = TextField(required=True, inferable=True, originating_required=True)
    PiOrganization = TextField(originating_required=True)
    PiPersonID = TextField(required=True, reply_required=True, originating_required=True, fact=True)
    PiPosition = TextField(personal=True)
    PiRemoteSiteLogin = TextField(required=True, reply_required=True, originating_required=True, fact=True)
    PiRequestedLoginList = ListField(personal=True)
    PiState = TextField(personal=True)
    PiStreetAddress = TextField(personal=True)
    PiStreetAddress2 = TextField(personal=True)
    PiTitle = TextField(personal=True)
    PiUID = TextField(fact=True)
    PiZip = TextField(personal=True)
    ProjectGID = TextField(fact=True)
    ProjectID = TextField(required=True, reply_required=True, originating_required=True, fact=True)
    ProjectTitle = TextField(required=True, inferable=True, originating_required=True)
    RecordID = TextField(originating_required=True, fact=True, beyond_client=True)
    ResourceList = ListField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )
    ResourceLogin = ObjectsField(items=("Resource", "Login", "UID"))
    RoleList = ListField(fact=True)
    ServiceUnitsAllocated = AmountField(required=True, inferable=True, originating_required=True, fact=True)
    Sfos = ObjectsField(items=("Number",))
    StartDate = DateField(required=True, inferable=True, originating_required=True, fact=True)


class NotifyProjectInactivate(Packet):
    """The site has made the project and all its accounts inactive (NPI)."""

    __slots__ = ()

    _packet_type = "notify_project_inactivate"
    _expected_reply = [expects("inform_transaction_complete")]

    AccountActivityTime = DateTimeField(originating_required=True, fact=True, beyond_client=True)
    Comment = TextField(inferable=True, beyond_client=True)
    PersonID = TextField(inferable=True, fact=True, beyond_client=True)
    ProjectID = TextField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )
    ResourceList = ListField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )


class NotifyProjectReactivate(Packet):
    """The site has made the project and its PI's account active again (NPR)."""

    __slots__ = ()

    _packet_type = "notify_project_reactivate"
    _expected_reply = [expects("inform_transaction_complete")]

    AccountActivityTime = DateTimeField(originating_required=True, fact=True, beyond_client=True)
    Comment = TextField(inferable=True, beyond_client=True)
    PersonID = TextField(inferable=True, fact=True, beyond_client=True)
    ProjectID = TextField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )
    ResourceList = ListField(
        required=True, inferable=True, reply_required=True, originating_required=True, fact=True
    )


class DataProjectCreate(Packet):
    """The hub has recorded the project and its PI (DPC). It brings the PI's DNs, which the site adds.

    It follows the site's notify_project_create, and does not name the resource: that stands in the request.
    """

    __slots__ = ()

    _packet_type = "data_project_create"
    _expected_reply = [expects("inform_transaction_complete")]

    DnList = ListField(personal=True)
    GlobalID = TextField(inferable=True, fact=True, beyond_client=True)
    PersonID = TextField(required=True, inferable=True, fact=True)
    ProjectID = TextField(required=True, fact=True)
