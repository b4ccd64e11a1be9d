"""Which facts name somebody or something: derived from the packet classes, and complete."""

from __future__ import annotations

import pytest

from amie_engine.packet.naming import NAMING_FIELDS, Kind, Naming, named
from amie_engine.packet.registry import PACKET_TYPES

NAME_NOTHING = {
    *("AccountActivityTime", "ActionType", "AllocationType", "BoardType", "ChargeNumber", "DetailCode"),
    *("EndDate", "GrantType", "PfosNumber", "PiUID", "ProjectGID", "ProposalNumber", "RecordID"),
    *("RequestType", "RoleList", "ServiceUnitsAllocated", "ServiceUnitsRemaining", "StartDate"),
    *("StatusCode", "UserUID"),
}


def test_every_fact_names_something_or_is_known_to_name_nothing() -> None:
    facts = {name for packet in PACKET_TYPES.values() for name, field in packet._fields.items() if field.fact}
    assert facts - set(NAMING_FIELDS) == NAME_NOTHING
    assert set(NAMING_FIELDS) <= facts


@pytest.mark.parametrize(
    ("field", "kind", "role"),
    [
        ("PersonID", Kind.LOCAL_ID, ""),
        ("PrimaryPersonID", Kind.LOCAL_ID, ""),
        ("PersonIDList", Kind.LOCAL_ID, ""),
        ("PersonIdList", Kind.LOCAL_ID, ""),
        ("PersonID2", Kind.LOCAL_ID, "2"),
        ("PiPersonID", Kind.LOCAL_ID, "Pi"),
        ("DeleteGlobalID", Kind.GLOBAL_ID, "Delete"),
        ("UserRemoteSiteLogin", Kind.LOGIN, "User"),
        ("ProjectID", Kind.PROJECT, ""),
        ("GrantNumber", Kind.GRANT, ""),
        ("AllocatedResource", Kind.RESOURCE, ""),
    ],
)
def test_a_field_s_name_tells_what_it_names_and_in_which_role(field: str, kind: Kind, role: str) -> None:
    assert list(named({field: "x"})) == [Naming(kind, role, "x")]


def test_lists_are_of_several_and_numbers_are_read_as_text() -> None:
    fields = {"PersonIDList": ["u1", 2, "", None], "ProjectID": 5, "GrantNumber": "", "PiPersonID": {"a": 1}}
    assert [naming.name for naming in named(fields)] == ["u1", "2", "5"]
    assert list(named({"Comment": "u1", "SitePersonId": [{"PersonID": "u1"}]})) == []
