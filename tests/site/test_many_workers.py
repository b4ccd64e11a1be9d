"""Several workers on one SQLite log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.site.many_workers import (
    check,
    check_that_others_items_are_passed_by,
    check_that_trouble_with_the_log_keeps_no_lease,
    work_off,
)


@pytest.mark.parametrize("workers", [2, 4])
def test_each_item_is_worked_on_once(tmp_path: Path, workers: int) -> None:
    url = f"sqlite:///{tmp_path / 'amie.db'}"
    check(url, work_off(url, 40, workers), 40)


def test_what_others_have_is_passed_by(tmp_path: Path) -> None:
    check_that_others_items_are_passed_by(f"sqlite:///{tmp_path / 'amie.db'}")


def test_trouble_with_the_log_keeps_no_lease(tmp_path: Path) -> None:
    check_that_trouble_with_the_log_keeps_no_lease(f"sqlite:///{tmp_path / 'amie.db'}")
