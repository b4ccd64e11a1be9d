"""Allocations: what each allocation type does to a project's service units on a resource.

An allocation is a period. A renewal begins a new period, which holds in the earlier one's place from its
start date on; everything else changes a period that there is, and each change leaves a line in the history.

Source: "Implementing AMIE", request_project_create, AllocationType.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, insert, or_, select, update

from .model import Allocation, AllocationChange, AllocationType, CampusError
from .schema import allocation_changes, allocations

__all__ = ["Change", "apply", "history", "periods"]

_BEGINS_A_PERIOD = frozenset({AllocationType.NEW, AllocationType.RENEWAL})
_GREATEST_AMOUNT = Decimal(10) ** 15
_SMALLEST_EXPONENT = -6


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an award asks of an allocation.

    Args:
        grant_number: The grant, for messages.
        allocation_type: What to do.
        amount: Service units; negative to take some away, None where the type needs none.
        start_date: The first day of the period that is meant or that begins.
        end_date: Its last day.
        recorded_at: The time of the change, with its zone.
    """

    grant_number: str
    allocation_type: AllocationType
    amount: Decimal | None
    start_date: date | None
    end_date: date | None
    recorded_at: datetime


def apply(connection: Connection, project_id: str, resource: str, change: Change) -> Allocation:
    """Make a change to the allocation of a project on a resource, and return how it stands then.

    An allocation begins with ``new``, with ``renewal``, and, where the project has none on the resource yet,
    with an amount to add. A change to an allocation is one to the period that its start date falls in; where
    it falls in none, to the newest.

    Raises:
        CampusError: There is no allocation to take units from or to extend; it would fall below zero; or the
            amount or a date is missing or impossible.
    """
    existing = periods(connection, project_id, resource)
    if change.allocation_type is AllocationType.EXTENSION:
        return _extend(connection, _meant(existing, resource, change), change)
    amount = _amount(change)
    if change.allocation_type in _BEGINS_A_PERIOD or (amount >= 0 and not existing):
        return _begin(connection, project_id, resource, change, amount)
    return _add(connection, _meant(existing, resource, change), change, amount)


def periods(connection: Connection, project_id: str, resource: str) -> tuple[Allocation, ...]:
    """Return all the periods that a project was ever given on a resource, the oldest first."""
    query = (
        select(allocations)
        .where(allocations.c.project_id == project_id, allocations.c.resource == resource)
        .order_by(allocations.c.allocation_id)
    )
    return tuple(Allocation(**row) for row in connection.execute(query).mappings())


def history(connection: Connection, project_id: str, resource: str) -> tuple[AllocationChange, ...]:
    """Return every change to a project's allocations on a resource, the oldest first."""
    query = (
        select(allocation_changes)
        .join(allocations, allocations.c.allocation_id == allocation_changes.c.allocation_id)
        .where(allocations.c.project_id == project_id, allocations.c.resource == resource)
        .order_by(allocation_changes.c.entry)
    )
    return tuple(
        AllocationChange(
            allocation_id=row["allocation_id"],
            allocation_type=AllocationType(row["allocation_type"]),
            change=row["change"],
            amount=row["amount"],
            end_date=row["end_date"],
            recorded_at=datetime.fromisoformat(row["recorded_at"]),
        )
        for row in connection.execute(query).mappings()
    )


def _begin(
    connection: Connection, project_id: str, resource: str, change: Change, amount: Decimal
) -> Allocation:
    """Begin a period, which holds in the place of every earlier one from its start date on."""
    where = f"grant {change.grant_number} on {resource}"
    if amount < 0:
        raise CampusError(f"The allocation of {where} can't begin with {amount} service units.")
    start_date, end_date = change.start_date, change.end_date
    if start_date is None or end_date is None:
        raise CampusError(f"The allocation of {where} needs a start date and an end date.")
    _demand_order(start_date, end_date, where)
    connection.execute(
        update(allocations)
        .where(
            allocations.c.project_id == project_id,
            allocations.c.resource == resource,
            or_(allocations.c.superseded_from.is_(None), allocations.c.superseded_from > start_date),
        )
        .values(superseded_from=start_date)
    )
    values = {
        "project_id": project_id,
        "resource": resource,
        "amount": amount,
        "start_date": start_date,
        "end_date": end_date,
    }
    new_id = connection.scalar(insert(allocations).values(values).returning(allocations.c.allocation_id))
    return _recorded(connection, new_id, change, amount)


def _add(connection: Connection, allocation: Allocation, change: Change, amount: Decimal) -> Allocation:
    """Add service units to a period, or take some away. Its dates stay."""
    total = allocation.amount + amount
    if total < 0:
        raise CampusError(
            f"Grant {change.grant_number} has {allocation.amount} service units on {allocation.resource}:"
            f" {-amount} can't be taken away."
        )
    row = update(allocations).where(allocations.c.allocation_id == allocation.allocation_id)
    connection.execute(row.values(amount=total))
    return _recorded(connection, allocation.allocation_id, change, amount)


def _extend(connection: Connection, allocation: Allocation, change: Change) -> Allocation:
    """Move a period's end date, and nothing else."""
    where = f"grant {change.grant_number} on {allocation.resource}"
    if change.end_date is None:
        raise CampusError(f"The extension of the allocation of {where} names no end date.")
    _demand_order(allocation.start_date, change.end_date, where)
    row = update(allocations).where(allocations.c.allocation_id == allocation.allocation_id)
    connection.execute(row.values(end_date=change.end_date))
    return _recorded(connection, allocation.allocation_id, change, Decimal(0))


def _meant(existing: tuple[Allocation, ...], resource: str, change: Change) -> Allocation:
    """The period that a change is one to."""
    if not existing:
        raise CampusError(
            f"No allocation is known for grant {change.grant_number} on {resource}:"
            f" this {change.allocation_type} has nothing to change."
        )
    start_date = change.start_date
    if start_date is not None:
        for allocation in existing:
            if allocation.holds_on(start_date):
                return allocation
    return existing[-1]


def _amount(change: Change) -> Decimal:
    """The amount that a change names.

    Amounts are bounded, in size and in places, so that adding them up never rounds.
    """
    amount = change.amount
    if amount is None or not amount.is_finite():
        raise CampusError("The award names no amount of service units.")
    exponent = amount.as_tuple().exponent
    too_fine = isinstance(exponent, int) and exponent < _SMALLEST_EXPONENT
    if abs(amount) >= _GREATEST_AMOUNT or too_fine:
        raise CampusError(f"{amount} service units are too many, or have too many decimal places.")
    return amount


def _demand_order(start_date: date, end_date: date, where: str) -> None:
    if end_date < start_date:
        raise CampusError(f"The allocation of {where} can't end on {end_date}: it begins on {start_date}.")


def _recorded(
    connection: Connection, allocation_id: int | None, change: Change, amount: Decimal
) -> Allocation:
    """Note a change in the history, and return the period as it stands now."""
    query = select(allocations).where(allocations.c.allocation_id == allocation_id)
    allocation = Allocation(**connection.execute(query).mappings().one())
    connection.execute(
        insert(allocation_changes).values(
            allocation_id=allocation.allocation_id,
            allocation_type=change.allocation_type.value,
            change=amount,
            amount=allocation.amount,
            end_date=allocation.end_date,
            recorded_at=change.recorded_at.isoformat(),
        )
    )
    return allocation
