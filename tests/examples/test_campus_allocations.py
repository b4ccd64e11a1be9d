"""The example site's allocations: what each allocation type does, and the laws of their arithmetic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campus.backend import Campus
from campus.model import Allocation, AllocationChange, AllocationType, CampusError
from tests.examples.campus_cases import ELM, END, GRANT, OAK, START, award

ADDING = ("supplement", "transfer", "adjustment", "advance")
PROJECT = "p1001"


def _allocation(campus: Campus, resource: str = OAK) -> Allocation:
    allocation = campus.allocation(PROJECT, resource)
    assert allocation is not None
    return allocation


@pytest.mark.parametrize("allocation_type", ["new", "renewal", *ADDING])
def test_any_award_of_units_begins_the_allocation_of_an_unknown_project(
    campus: Campus, allocation_type: str
) -> None:
    made = award(campus, allocation_type, "1234.5")

    assert made.allocation == _allocation(campus)
    assert (made.allocation.amount, made.allocation.start_date, made.allocation.end_date) == (
        Decimal("1234.5"),
        START,
        END,
    )


@pytest.mark.parametrize("allocation_type", ["renewal", *ADDING])
def test_any_award_of_units_begins_the_allocation_on_another_resource(
    campus: Campus, allocation_type: str
) -> None:
    award(campus, amount="1000")

    award(campus, allocation_type, "20", resource=ELM)

    assert _allocation(campus, ELM).amount == 20
    assert _allocation(campus, OAK).amount == 1000


@pytest.mark.parametrize("allocation_type", ADDING)
def test_adding_leaves_the_dates_alone(campus: Campus, allocation_type: str) -> None:
    award(campus, amount="1000")

    award(campus, allocation_type, "20", start_date=date(2025, 6, 1), end_date=date(2030, 1, 1))

    allocation = _allocation(campus)
    assert allocation.amount == 1020
    assert (allocation.start_date, allocation.end_date) == (START, END)


@pytest.mark.parametrize("allocation_type", ["transfer", "adjustment"])
def test_units_can_be_taken_away_as_far_as_there_are_any(campus: Campus, allocation_type: str) -> None:
    award(campus, amount="1000")

    award(campus, allocation_type, "-1000")
    with pytest.raises(CampusError, match="0 service units"):
        award(campus, allocation_type, "-0.5")

    assert _allocation(campus).amount == 0
    assert len(campus.allocation_history(PROJECT, OAK)) == 2


@pytest.mark.parametrize(
    ("allocation_type", "amount", "why"),
    [
        ("transfer", "-1", "No allocation is known"),
        ("adjustment", "-1", "No allocation is known"),
        ("extension", None, "No allocation is known"),
        ("new", "-1", "can't begin with -1"),
        ("renewal", "-1", "can't begin with -1"),
    ],
)
def test_what_cannot_begin_an_allocation_is_refused_for_an_unknown_one(
    campus: Campus, allocation_type: str, amount: str | None, why: str
) -> None:
    with pytest.raises(CampusError, match=why) as caught:
        award(campus, allocation_type, amount)

    assert f"grant {GRANT} on {OAK}" in str(caught.value)
    with pytest.raises(CampusError, match=GRANT):
        campus.project(grant_number=GRANT)


def test_an_extension_moves_the_end_date_and_nothing_else(campus: Campus) -> None:
    award(campus, amount="1000")

    award(campus, "extension", "77", end_date=date(2026, 6, 30))

    allocation = _allocation(campus)
    assert allocation.amount == 1000
    assert (allocation.start_date, allocation.end_date) == (START, date(2026, 6, 30))


@pytest.mark.parametrize("allocation_type", ["renewal", "new"])
def test_a_renewal_holds_in_the_old_allocations_place_from_its_start_date(
    campus: Campus, allocation_type: str
) -> None:
    award(campus, amount="1000", end_date=date(2026, 3, 31))

    award(campus, allocation_type, "50", start_date=date(2026, 1, 1), end_date=date(2026, 12, 31))

    def amount_on(day: date) -> Decimal | None:
        allocation = campus.allocation(PROJECT, OAK, on=day)
        return None if allocation is None else allocation.amount

    assert amount_on(date(2024, 12, 31)) is None
    assert amount_on(date(2025, 12, 31)) == 1000
    assert amount_on(date(2026, 1, 1)) == 50
    assert amount_on(date(2026, 12, 31)) == 50
    assert amount_on(date(2027, 1, 1)) is None
    assert _allocation(campus).amount == 50


def test_a_supplement_goes_to_the_period_that_its_start_date_falls_in(campus: Campus) -> None:
    award(campus, amount="1000")
    award(campus, "renewal", "50", start_date=date(2026, 1, 1), end_date=date(2026, 12, 31))

    this_year = award(campus, "supplement", "5", start_date=date(2025, 12, 1))
    next_year = award(campus, "supplement", "7", start_date=date(2026, 2, 1))
    undated = award(campus, "supplement", "1", start_date=None, end_date=None)

    assert this_year.allocation.amount == 1005
    assert next_year.allocation.amount == 57
    assert undated.allocation.amount == 58


@pytest.mark.parametrize("allocation_type", ["New", "RENEWAL", " Supplement "])
def test_allocation_types_are_read_in_any_case(campus: Campus, allocation_type: str) -> None:
    assert award(campus, allocation_type).allocation.amount == 1000


@pytest.mark.parametrize("allocation_type", ["exchange", ""])
def test_an_unknown_allocation_type_is_refused(campus: Campus, allocation_type: str) -> None:
    award(campus)

    with pytest.raises(CampusError, match="allocation type"):
        award(campus, allocation_type)


@pytest.mark.parametrize("amount", [None, "NaN", "Infinity", "1e15", "0.0000001"])
def test_an_amount_that_cannot_be_counted_is_refused(campus: Campus, amount: str | None) -> None:
    with pytest.raises(CampusError, match="service units"):
        award(campus, "new", amount)


@pytest.mark.parametrize(
    ("start_date", "end_date"), [(None, END), (START, None), (END, START), (END, END - timedelta(days=1))]
)
def test_an_allocation_needs_dates_in_order(
    campus: Campus, start_date: date | None, end_date: date | None
) -> None:
    with pytest.raises(CampusError, match=GRANT):
        award(campus, start_date=start_date, end_date=end_date)


@pytest.mark.parametrize("end_date", [None, START - timedelta(days=1)])
def test_an_extension_needs_an_end_date_after_the_start(campus: Campus, end_date: date | None) -> None:
    award(campus)

    with pytest.raises(CampusError, match=GRANT):
        award(campus, "extension", end_date=end_date)


def test_every_change_is_in_the_history_with_its_time(campus: Campus) -> None:
    award(campus, "New", "1000")
    award(campus, "supplement", "20")
    award(campus, "extension", None, end_date=date(2026, 6, 30))

    history = campus.allocation_history(PROJECT, OAK)

    assert [
        (line.allocation_type, str(line.change), str(line.amount), line.end_date) for line in history
    ] == [
        (AllocationType.NEW, "1000", "1000", END),
        (AllocationType.SUPPLEMENT, "20", "1020", END),
        (AllocationType.EXTENSION, "0", "1020", date(2026, 6, 30)),
    ]
    assert {line.recorded_at for line in history} == {datetime(2025, 5, 5, 12, tzinfo=UTC)}


AMOUNTS = st.decimals(-2000, 2000, places=3)
DAYS = st.dates(date(2025, 1, 1), date(2027, 12, 31))
CHANGES = st.lists(
    st.tuples(st.sampled_from(list(AllocationType)), AMOUNTS, DAYS, st.integers(0, 500)), max_size=6
)
Changes = list[tuple[AllocationType, Decimal, date, int]]


def _play(campus: Campus, changes: Changes, times: int = 1) -> tuple[AllocationChange, ...]:
    """Ask for changes one after another, each so many times under its key, and return the history. Refused
    ones change nothing."""
    award(campus, amount="500")
    for number, (allocation_type, amount, day, length) in enumerate(changes):
        for _ in range(times):
            with suppress(CampusError):
                award(
                    campus,
                    allocation_type,
                    str(amount),
                    start_date=day,
                    end_date=day + timedelta(days=length),
                    key=str(number),
                )
    return campus.allocation_history(PROJECT, OAK)


@settings(max_examples=20, deadline=None)
@given(changes=CHANGES)
def test_the_changes_of_an_allocation_add_up_to_its_amount(
    empty_campus: Callable[[], Campus], changes: Changes
) -> None:
    campus = empty_campus()
    history = _play(campus, changes)
    newest = _allocation(campus)

    sums: dict[int, Decimal] = defaultdict(Decimal)
    for line in history:
        sums[line.allocation_id] += line.change
        assert sums[line.allocation_id] == line.amount >= 0
    assert sums[newest.allocation_id] == newest.amount
    assert newest.superseded_from is None


@settings(max_examples=10, deadline=None)
@given(changes=CHANGES)
def test_asking_twice_under_one_key_is_asking_once(
    empty_campus: Callable[[], Campus], changes: Changes
) -> None:
    campus = empty_campus()
    once = _play(campus, changes), _allocation(campus)

    campus = empty_campus()
    twice = _play(campus, changes, times=2), _allocation(campus)

    assert twice == once


@settings(max_examples=20, deadline=None)
@given(renewals=st.lists(st.tuples(DAYS, st.integers(0, 500)), min_size=1, max_size=5), day=DAYS)
@example(
    renewals=[(date(2025, 1, 1), 364), (date(2026, 1, 1), 364), (date(2025, 7, 1), 30)], day=date(2025, 10, 1)
)
def test_on_any_day_the_last_renewal_that_began_by_then_decides(
    empty_campus: Callable[[], Campus], renewals: list[tuple[date, int]], day: date
) -> None:
    campus = empty_campus()
    expected: Decimal | None = None
    for number, (start, length) in enumerate(renewals):
        end = start + timedelta(days=length)
        award(campus, "renewal", str(number), start_date=start, end_date=end)
        if start <= day:
            expected = Decimal(number) if day <= end else None
    in_force = campus.allocation(PROJECT, OAK, on=day)

    assert (None if in_force is None else in_force.amount) == expected
