"""Several workers on one PostgreSQL log."""

from __future__ import annotations

from tests.site.many_workers import check, work_off


def test_each_item_is_worked_on_once(migrated: str) -> None:
    check(migrated, work_off(migrated, 60, 4), 60)
