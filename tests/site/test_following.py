"""A site's subscribers on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from amie_engine import Engine
from tests.site.following import SITE, FollowingCases


class TestOnSQLite(FollowingCases):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        made = f"sqlite:///{tmp_path / 'amie.db'}"
        Engine(made, site=SITE).close()
        return made
