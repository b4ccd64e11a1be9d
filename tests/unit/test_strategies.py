"""The strategies that a site imports to test its own handlers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

from amie_engine.errors import PacketInvalidType
from amie_engine.packet import Packet
from amie_engine.packet.fields import parse_date, parse_datetime
from amie_engine.protocol import FINAL_STATES, TRANSACTION_TYPES, Party, Row, State, step
from amie_engine.testing import strategies
from amie_engine.testing.strategies import (
    amounts,
    bodies,
    dates,
    documents,
    json_values,
    packets,
    record_ids,
    transactions,
)
from tests.unit.samples import PACKET_TABLE, property_test

T = TypeVar("T")


def example(strategy: SearchStrategy[T], condition: Callable[[T], object] = lambda value: True) -> T:
    """Return the first value that the strategy makes and that meets a condition."""
    quick = settings(property_test, phases=[Phase.generate], max_examples=5000)
    return find(strategy, lambda value: bool(condition(value)), settings=quick)


def test_without_hypothesis_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['hypothesis'] = None; import amie_engine.testing.strategies"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    last_line = ran.stderr.splitlines()[-1]
    assert "amie_engine.testing.strategies needs hypothesis" in last_line
    assert "pip install 'amie-engine[testing]'" in last_line
    assert last_line.endswith("[dependency-missing]")


class TestPackets:
    @property_test
    @given(packets())
    def test_of_any_type_with_a_header_that_fits(self, packet: Packet) -> None:
        assert packet.validate_data(raise_on_invalid=True)
        assert packet.packet_timestamp is not None
        assert None not in (packet.packet_rec_id, packet.trans_rec_id, packet.transaction_id)
        if packet.packet_type.startswith(("request_", "data_")):
            assert packet.sender_name == strategies.HUB
        elif packet.packet_type.startswith("notify_"):
            assert packet.sender_name == "SITE"
        if packet.packet_type.startswith("request_"):
            assert packet.originating_site_name == strategies.HUB

    @pytest.mark.parametrize("packet_type", PACKET_TABLE)
    def test_of_each_type(self, packet_type: str) -> None:
        packet = example(packets(packet_type, site="EXAMPLE"))
        assert packet.packet_type == packet_type
        assert packet.remote_site_name == "EXAMPLE"

    def test_a_site_may_begin_a_transaction_with_what_answers_a_request_elsewhere(self) -> None:
        begun_by = {
            example(packets("notify_project_create"), condition).originating_site_name
            for condition in (
                lambda packet: packet.originating_site_name == "SITE",
                lambda packet: packet.originating_site_name != "SITE",
            )
        }
        assert begun_by == {strategies.HUB, "SITE"}

    def test_an_unknown_type(self) -> None:
        for strategy in (packets, bodies):
            with pytest.raises(PacketInvalidType):
                strategy("request_nothing")


@pytest.mark.parametrize("packet_type", PACKET_TABLE)
def test_bodies_have_what_a_reply_and_a_first_packet_must_carry(packet_type: str) -> None:
    entry = PACKET_TABLE[packet_type]
    body = example(bodies(packet_type))
    demanded = {
        *entry["client"]["required"],
        *entry.get("reply_required", []),
        *entry.get("originating_required", []),
    }
    assert demanded <= set(body) <= set(entry["fields"])


@property_test
@given(packets())
def test_bodies_have_values_of_their_fields_kinds(packet: Packet) -> None:
    fields = PACKET_TABLE[packet.packet_type]["fields"]
    for name, value in packet.as_dict()["body"].items():
        kind = fields[name]["kind"]
        if kind == "list":
            assert value
            assert all(isinstance(item, str) and item.strip() == item != "" for item in value)
        elif kind == "objects":
            assert all(set(item) == set(fields[name]["items"]) for item in value)
        else:
            assert isinstance(value, str)
            assert value.strip() == value != ""
            assert kind != "date" or isinstance(parse_date(value), date)
            assert kind != "datetime" or parse_datetime(value) is not None
            assert kind != "amount" or Decimal(value).is_finite()


@property_test
@given(packets("notify_user_modify"))
def test_bodies_keep_to_the_rules_of_notify_user_modify(packet: Any) -> None:
    if packet.ActionType == "delete":
        assert packet.LastName is None
    if packet.ActionType == "replace":
        assert packet.DnList is None
    if packet.BusinessPhoneExtension or packet.BusinessPhoneComment:
        assert packet.BusinessPhoneNumber


@property_test
@given(packets("request_project_create"))
def test_an_allocation_ends_after_it_starts(packet: Any) -> None:
    assert packet.StartDate <= packet.EndDate


class TestDocuments:
    @property_test
    @given(documents())
    def test_every_one_is_json_and_readable(self, document: dict[str, Any]) -> None:
        assert json.loads(json.dumps(document)) == document
        assert Packet.from_dict(document).packet_type == document["type"]

    def test_the_oddities_of_real_services_occur(self) -> None:
        """Far more documents are made than it takes to have met each."""
        oddities: dict[str, Callable[[Any, Any], object]] = {
            "an id that is a text": lambda header, body: isinstance(header.get("packet_rec_id"), str),
            "no id of the transaction": lambda header, body: "trans_rec_id" not in header,
            "a flag that is true": lambda header, body: header.get("outgoing_flag") is True,
            "a flag that is a text": lambda header, body: header.get("outgoing_flag") == "1",
            "no client state": lambda header, body: header.get("client_state", "") is None,
            "nothing expected": lambda header, body: header.get("expected_reply_list") == [],
            "null": lambda header, body: body.get("ProjectID", "") is None,
            "an empty text": lambda header, body: body.get("PersonID") == "",
            "an object": lambda header, body: isinstance(body.get("ProjectID"), dict),
            "a field of nobody's": lambda header, body: (
                set(body) - set(PACKET_TABLE["data_account_create"]["fields"])
            ),
            "a field that is missing": lambda header, body: "PersonID" not in body,
        }
        unmet = set(oddities)

        def all_were_met(document: dict[str, Any]) -> bool:
            header, body = document["header"], document["body"]
            unmet.difference_update(name for name in tuple(unmet) if oddities[name](header, body))
            return not unmet

        many = settings(phases=[Phase.generate], max_examples=10_000, database=None, deadline=None)
        with suppress(NoSuchExample):
            find(documents("data_account_create"), all_were_met, settings=many)
        assert not unmet


class TestValues:
    @property_test
    @given(json_values())
    def test_json(self, value: Any) -> None:
        assert json.loads(json.dumps(value, allow_nan=False)) == value

    @property_test
    @given(dates(), amounts(), record_ids())
    def test_dates_amounts_and_ids(self, day: str, amount: str, record_id: int) -> None:
        assert date.fromisoformat(day).isoformat() == day
        assert re.fullmatch(r"-?\d+(\.\d+)?", amount)
        assert 0 <= record_id < 10**38

    def test_ids_reach_38_digits_and_amounts_are_at_times_negative(self) -> None:
        assert example(record_ids(), lambda record_id: record_id >= 10**37)
        assert example(amounts(), lambda amount: amount.startswith("-") and "." in amount)


class TestTransactions:
    @property_test
    @given(transactions())
    def test_every_row_follows_from_the_one_before(self, course: list[Row]) -> None:
        assert self.types_that_allow(course)

    @property_test
    @given(transactions(finished=True))
    def test_finished_ones_end_in_a_final_state(self, course: list[Row]) -> None:
        assert self.types_that_allow(course)
        assert course[-1].next_state in FINAL_STATES

    @pytest.mark.parametrize("name", TRANSACTION_TYPES)
    @pytest.mark.parametrize("end", sorted(FINAL_STATES))
    def test_each_type_can_complete_and_fail(self, name: str, end: State) -> None:
        course = example(transactions(name, finished=True), lambda course: course[-1].next_state == end)
        assert name in self.types_that_allow(course)
        assert all(row.sender in set(Party) for row in course)

    def types_that_allow(self, course: list[Row]) -> list[str]:
        """The transaction types in which the rows can follow each other from the start."""
        allowing = []
        for name in TRANSACTION_TYPES:
            state: State | None = State.START
            for row in course:
                if state is not row.state:
                    state = None
                    break
                state = step(name, row.state, row.sender, row.move)
            if state is not None:
                allowing.append(name)
        return allowing
