"""AMIE's packets: one class a type, with the names and meanings that the public AMIE client documents."""

from amie_engine.packet.account import (
    DataAccountCreate,
    NotifyAccountCreate,
    NotifyAccountInactivate,
    NotifyAccountReactivate,
    RequestAccountCreate,
    RequestAccountInactivate,
    RequestAccountReactivate,
)
from amie_engine.packet.base import Packet, PacketInvalidData, PacketInvalidType
from amie_engine.packet.inform import InformTransactionComplete
from amie_engine.packet.packetlist import PacketList, UnreadableDocument
from amie_engine.packet.person import NotifyPersonDuplicate, NotifyPersonIDs, RequestPersonMerge
from amie_engine.packet.project import (
    DataProjectCreate,
    NotifyProjectCreate,
    NotifyProjectInactivate,
    NotifyProjectReactivate,
    RequestProjectCreate,
    RequestProjectInactivate,
    RequestProjectReactivate,
)
from amie_engine.packet.user import NotifyUserModify, RequestUserModify

__all__ = [
    "DataAccountCreate",
    "DataProjectCreate",
    "InformTransactionComplete",
    "NotifyAccountCreate",
    "NotifyAccountInactivate",
    "NotifyAccountReactivate",
    "NotifyPersonDuplicate",
    "NotifyPersonIDs",
    "NotifyProjectCreate",
    "NotifyProjectInactivate",
    "NotifyProjectReactivate",
    "NotifyUserModify",
    "Packet",
    "PacketInvalidData",
    "PacketInvalidType",
    "PacketList",
    "RequestAccountCreate",
    "RequestAccountInactivate",
    "RequestAccountReactivate",
    "RequestPersonMerge",
    "RequestProjectCreate",
    "RequestProjectInactivate",
    "RequestProjectReactivate",
    "RequestUserModify",
    "UnreadableDocument",
]
