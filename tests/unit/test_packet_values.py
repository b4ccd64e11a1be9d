"""Dates, times and amounts in a packet's body: how they read, and how they are sent."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from amie_engine.errors import PacketInvalidData
from amie_engine.packet import NotifyAccountCreate, Packet, RequestProjectCreate
from tests.unit.samples import sample


class TestDates:
    @pytest.mark.parametrize(
        ("text", "meant", "sent"),
        [
            ("2026-01-15", date(2026, 1, 15), "2026-01-15"),
            (" 2026-01-15 ", date(2026, 1, 15), "2026-01-15"),
            ("2026-01-15T23:59:59Z", date(2026, 1, 15), "2026-01-15"),
            ("2026-01-15 00:00:00", date(2026, 1, 15), "2026-01-15"),
            ("2026-02-30", "2026-02-30", "2026-02-30"),
            ("2026-01-15 or so", "2026-01-15 or so", "2026-01-15 or so"),
            ("20260115", "20260115", "20260115"),
            ("soon", "soon", "soon"),
            ("", "", ""),
        ],
    )
    def test_text_reads_as_a_date_and_is_sent_as_one(self, text: str, meant: date | str, sent: str) -> None:
        packet = RequestProjectCreate(StartDate=text)
        assert packet.StartDate == meant
        assert json.loads(packet.json())["body"] == {"StartDate": sent}

    def test_a_date_or_a_datetime_is_sent_as_a_date(self) -> None:
        packet = RequestProjectCreate(
            StartDate=date(2026, 1, 15), EndDate=datetime(2027, 1, 14, 23, 30, tzinfo=UTC)
        )
        assert (packet.StartDate, packet.EndDate) == (date(2026, 1, 15), date(2027, 1, 14))
        assert packet.as_dict()["body"] == {"StartDate": "2026-01-15", "EndDate": "2027-01-14"}

    def test_what_came_is_sent_back_to_the_letter(self) -> None:
        document = sample("spec/request_project_create")
        document["body"]["StartDate"] = "2026-01-15T00:00:00.000Z"
        document["body"]["EndDate"] = 20270114
        packet = Packet.from_dict(document)
        assert isinstance(packet, RequestProjectCreate)
        end_date: Any = packet.EndDate
        assert packet.StartDate == date(2026, 1, 15)
        assert end_date == 20270114
        assert packet.as_dict() == document

    def test_a_time_is_sent_with_its_zone(self) -> None:
        packet = NotifyAccountCreate()
        packet.AccountActivityTime = datetime(2026, 1, 15, 12, tzinfo=timezone(timedelta(hours=-6)))
        assert packet.AccountActivityTime == "2026-01-15T12:00:00-06:00"
        packet.AccountActivityTime = "2026-01-15T18:00:00Z"
        assert packet.as_dict()["body"] == {"AccountActivityTime": "2026-01-15T18:00:00Z"}

    def test_a_time_without_a_zone_is_refused(self) -> None:
        packet = NotifyAccountCreate()
        with pytest.raises(PacketInvalidData, match="AccountActivityTime was given a time without a zone"):
            packet.AccountActivityTime = datetime(2026, 1, 15)  # noqa: DTZ001 # that is the mistake
        a_date: Any = date(2026, 1, 15)
        with pytest.raises(PacketInvalidData, match="AccountActivityTime was given a date"):
            packet.AccountActivityTime = a_date
        assert packet.AccountActivityTime is None


class TestAmounts:
    @pytest.mark.parametrize(
        ("amount", "sent"),
        [
            ("1234.5", "1234.5"),
            ("-100", "-100"),
            (250000, 250000),
            (Decimal("-12.50"), "-12.50"),
            (Decimal("1E+6"), "1000000"),
        ],
    )
    def test_as_text_or_as_a_number(self, amount: str | int | Decimal, sent: str | int) -> None:
        packet = RequestProjectCreate(ServiceUnitsAllocated=amount)
        assert packet.ServiceUnitsAllocated == sent
        assert json.loads(packet.json())["body"] == {"ServiceUnitsAllocated": sent}

    def test_a_decimal_amount_that_came_stays_as_it_is(self) -> None:
        packet = Packet.from_dict(sample("edge/rpc_decimal_su"))
        assert isinstance(packet, RequestProjectCreate)
        assert packet.ServiceUnitsAllocated == "1234.5"
