"""Guarantee 12: the log works on a SQLAlchemy engine of the site's, and the site notices nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import create_engine, event, text

from amie_engine.errors import LogError
from amie_engine.testing import Clock
from amie_engine.testing.contract.checks import Sql, check_log
from amie_engine.testing.contract.fixtures import Fixtures, OpenEngine
from amie_engine.testing.contract.story import project_request, tell_story

__all__ = ["SiteEngineContract"]

_LEVELS = (None, "AUTOCOMMIT", "SERIALIZABLE")


class SiteEngineContract(Fixtures):
    """Guarantee 12."""

    @pytest.fixture(params=_LEVELS, ids=str)
    def sites(self, request: pytest.FixtureRequest, sql: Sql) -> Iterator[sqlalchemy.Engine]:
        """An engine of the site's, in each mode of transactions that it may be in."""
        options = {} if request.param is None else {"isolation_level": request.param}
        engine = create_engine(sql.engine.url, pool_size=1, max_overflow=0, pool_timeout=5, **options)
        yield engine
        engine.dispose()

    def test_12_the_log_works_on_it_whatever_mode_of_transactions_it_has(
        self, sites: sqlalchemy.Engine, open_engine: OpenEngine, clock: Clock, sql: Sql
    ) -> None:
        tell_story(open_engine(sites), clock)
        assert len(check_log(sql)) > 50

    def test_12_its_connections_are_as_before(
        self, sites: sqlalchemy.Engine, open_engine: OpenEngine, sql: Sql
    ) -> None:
        before = _settings(sites)
        engine = open_engine(sites)
        engine.receive(project_request(1))
        assert _settings(sites) == before
        with pytest.raises(ZeroDivisionError), engine.log.write():
            raise ZeroDivisionError
        with pytest.raises(LogError), engine.log.write() as writer:
            writer.cursor._cursor.execute("SELECT * FROM no_such_table")
        assert _settings(sites) == before
        engine.close()
        assert _settings(sites) == before
        check_log(sql)

    def test_12_neither_sides_listeners_hear_of_the_other(
        self, open_engine: OpenEngine, clock: Clock, sql: Sql
    ) -> None:
        fired: list[str] = []
        sites = sql.engine
        engine = open_engine(sites)
        for name in ("begin", "commit", "rollback", "engine_connect", "before_cursor_execute"):
            event.listen(sites, name, lambda *_, name=name: fired.append(f"site {name}"))
            event.listen(engine.database.engine, name, lambda *_, name=name: fired.append(f"log {name}"))
        tell_story(engine, clock)
        assert [name for name in fired if name.startswith("site")] == []
        fired.clear()
        with sites.begin() as connection:
            connection.execute(text("SELECT 1"))
        assert fired == ["site engine_connect", "site begin", "site before_cursor_execute", "site commit"]

    def test_12_a_transaction_of_the_sites_own_is_not_disturbed(
        self, open_engine: OpenEngine, sql: Sql
    ) -> None:
        sql.run("CREATE TABLE site_users (name VARCHAR(40))")
        engine = open_engine(sql.engine)
        with sql.engine.begin() as connection:
            assert connection.execute(text("SELECT count(*) FROM site_users")).scalar() == 0
            engine.receive(project_request(1))
            connection.execute(text("INSERT INTO site_users VALUES ('robin')"))
            assert len(engine.transactions()) == 1
        with sql.engine.connect() as connection:
            connection.execute(text("INSERT INTO site_users VALUES ('sam')"))
            assert engine.expected_reply(1001).state == "requested"
            connection.rollback()
        assert sql.rows("SELECT name FROM site_users") == [("robin",)]
        check_log(sql)

    def test_12_it_stays_open_when_the_log_is_closed(self, open_engine: OpenEngine, sql: Sql) -> None:
        open_engine(sql.engine).close()
        assert sql.rows("SELECT count(*) FROM amie_events") == [(0,)]


def _settings(engine: sqlalchemy.Engine) -> dict[str, Any]:
    """What a connection of the site's is set to."""
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        settings = {
            "level": connection.get_isolation_level(),
            "driver": getattr(driver, "isolation_level", None),
            "autocommit": getattr(driver, "autocommit", None),
        }
        if engine.dialect.name == "postgresql":
            queries = [f"SHOW {name}" for name in ("lock_timeout", "search_path", "TimeZone")]
        else:
            queries = [f"PRAGMA {name}" for name in ("synchronous", "journal_mode", "busy_timeout")]
        return settings | {query: connection.execute(text(query)).scalar() for query in queries}
