"""Guarantees 5, 6 and 9: events stay as they are, and where one does not, that shows."""

from __future__ import annotations

from typing import Any

import pytest

from amie_engine.engine import Engine
from amie_engine.engine.evolve import fold
from amie_engine.testing import Clock
from amie_engine.testing.contract.checks import COLUMNS, Row, Sql, broken_at, check_log, hash_of
from amie_engine.testing.contract.fixtures import Fixtures
from amie_engine.testing.contract.story import answer, project_request

__all__ = ["KeepingContract"]

_INTEGERS = ("position", "version", "schema_version")
_ERASE = "UPDATE amie_events SET document = NULL, document_salt = NULL"
_HALF_ERASED = (
    "document = NULL",
    "document_salt = NULL",
    "document = '', document_salt = NULL",
    "document = NULL, document_salt = ''",
    *(
        f"document = NULL, document_salt = NULL, {column} = {'1234' if column in _INTEGERS else repr('1234')}"
        for column in COLUMNS
        if column not in ("document", "document_salt")
    ),
)
_SAME_KEY = (
    ("position)", {"position": "2"}),
    (
        "stream, version)",
        {"stream": "(SELECT stream FROM amie_events WHERE position = 1)", "version": "1"},
    ),
    (
        "hub, site, packet_rec_id) WHERE type IN ('packet_received', 'packet_confirmed', 'packet_adopted')"
        " AND packet_rec_id IS NOT NULL",
        {"packet_rec_id": "'2001'", "type": "'packet_adopted'"},
    ),
)
"""Each unique key, and what a new event has of an old one's."""


def _insert(verb: str, **values: str) -> str:
    """A statement that makes an event of its own, but for some values."""
    new = dict.fromkeys(COLUMNS, "'x'") | {"position": "1000", "version": "77", "schema_version": "1"}
    new |= {"hub": "'access'", "site": "'EXAMPLE'"} | values
    return f"{verb} INTO amie_events ({', '.join(new)}) VALUES ({', '.join(new.values())})"


def _other(value: Any) -> Any:
    """Another value of the same kind, which differs in as little as can be."""
    if value is None:
        return "x"
    return value + 1 if isinstance(value, int) else value[:-1] + chr(ord(value[-1]) ^ 1)


class KeepingContract(Fixtures):
    """Guarantees 5, 6 and 9."""

    # 5: append-only

    def test_05_no_column_is_ever_updated(self, busy: Engine, sql: Sql) -> None:
        before = sql.everything()
        update = "UPDATE" if sql.is_postgresql else "UPDATE OR REPLACE"
        for column in COLUMNS:
            new = f"{column} + 1000" if column in _INTEGERS else "'other'"
            for where in ("position = 2", "document IS NULL", "1 = 1"):
                assert sql.refuses(f"{update} amie_events SET {column} = {new} WHERE {where}")
                assert sql.refuses(f"UPDATE amie_events SET {column} = {column} WHERE {where}")
        assert sql.everything() == before

    def test_05_no_event_is_ever_deleted(self, busy: Engine, sql: Sql) -> None:
        before = sql.everything()
        statements = ["DELETE FROM amie_events", "DELETE FROM amie_events WHERE position = 2"]
        if sql.is_postgresql:
            statements += ["TRUNCATE amie_events", "TRUNCATE amie_log_head, amie_events CASCADE"]
            merge = "MERGE INTO amie_events e USING (SELECT 2 AS p) s ON e.position = s.p WHEN MATCHED THEN"
            statements += [f"{merge} DELETE", f"{merge} UPDATE SET actor = 'x'"]
        for statement in statements:
            assert sql.refuses(statement)
        assert sql.everything() == before

    def test_05_no_event_takes_the_place_of_another(self, busy: Engine, sql: Sql) -> None:
        before = sql.everything()
        for conflict, values in _SAME_KEY:
            insert = _insert("INSERT", **values)
            statements = [f"{insert} ON CONFLICT ({conflict} DO UPDATE SET actor = 'x'"]
            if not sql.is_postgresql:
                verbs = ("INSERT OR REPLACE", "REPLACE", "INSERT OR ROLLBACK", "INSERT")
                statements += [_insert(verb, **values) for verb in verbs]
            for statement in statements:
                assert sql.refuses(statement)
        assert sql.everything() == before

    def test_05_the_one_update_that_passes_erases_a_document_with_its_salt(
        self, busy: Engine, sql: Sql
    ) -> None:
        before = sql.events()
        for assignment in _HALF_ERASED:
            assert sql.refuses(f"UPDATE amie_events SET {assignment} WHERE position = 1")
        assert sql.events() == before
        sql.run(f"{_ERASE} WHERE position = 1")
        assert sql.events() == [before[0] | {"document": None, "document_salt": None}, *before[1:]]

    def test_05_what_is_erased_stays_erased(self, busy: Engine, sql: Sql) -> None:
        document = sql.events()[0]["document"]
        sql.run(f"{_ERASE} WHERE position = 1")
        erased = sql.everything()
        assert sql.refuses(f"{_ERASE} WHERE position = 1")
        quoted = document.replace("'", "''").replace(":", "\\:")
        assert sql.refuses(
            f"UPDATE amie_events SET document = '{quoted}', document_salt = 'x' WHERE position = 1"
        )
        assert sql.everything() == erased

    # 6: evidence of every change

    def test_06_the_chain_of_a_busy_log_holds_and_ends_in_the_counter_row(
        self, busy: Engine, sql: Sql
    ) -> None:
        assert len(check_log(sql)) > 50

    def test_06_a_changed_byte_in_any_column_of_any_event_shows(self, busy: Engine, sql: Sql) -> None:
        rows = sql.events()
        for index in range(len(rows)):
            for column in COLUMNS:
                changed = [*rows[:index], rows[index] | {column: _other(rows[index][column])}]
                assert broken_at(changed) == [index]

    def test_06_a_change_that_covers_its_own_traces_shows_in_the_next_event(
        self, busy: Engine, sql: Sql
    ) -> None:
        rows = sql.events()
        rows[2]["actor"] = "somebody else"
        rows[2]["hash"] = hash_of(rows[2], rows[1]["hash"])
        assert broken_at(rows) == [3]

    def test_06_an_event_that_is_missing_or_in_another_place_shows(self, busy: Engine, sql: Sql) -> None:
        rows = sql.events()
        for index in range(len(rows) - 1):
            assert broken_at(rows[:index] + rows[index + 1 :])
            assert broken_at([*rows[:index], rows[index + 1], rows[index], *rows[index + 2 :]])

    def test_06_whoever_takes_the_triggers_away_and_changes_an_event_is_found_out(
        self, busy: Engine, sql: Sql
    ) -> None:
        if sql.is_postgresql:
            sql.run("DROP TRIGGER amie_events_no_change ON amie_events")
        else:
            sql.run("DROP TRIGGER amie_events_no_update")
        sql.run("UPDATE amie_events SET actor = 'nobody' WHERE position = 5")
        assert broken_at(sql.events()) == [4]
        with pytest.raises(AssertionError, match="chain"):
            check_log(sql)

    def test_06_the_salt_is_another_in_every_event(self, busy: Engine, sql: Sql) -> None:
        salts: list[str] = [row["document_salt"] for row in sql.events() if row["document_salt"] is not None]
        assert len(set(salts)) == len(salts) > 30
        assert all(len(salt) == 32 for salt in salts)

    # 9: erasing breaks nothing

    def test_09_without_any_document_the_chain_the_states_and_the_projections_are_the_same(
        self, busy: Engine, sql: Sql
    ) -> None:
        before, summaries = _states(busy), busy.transactions()
        sql.run(f"{_ERASE} WHERE document IS NOT NULL")
        rows = check_log(sql)
        assert all(row["document"] is None and row["document_salt"] is None for row in rows)
        assert sum(row["document_digest"] is not None for row in rows) > 30
        assert _states(busy) == before
        assert busy.transactions() == summaries

    def test_09_a_log_goes_on_after_it(self, busy: Engine, sql: Sql, clock: Clock) -> None:
        sql.run(f"{_ERASE} WHERE document IS NOT NULL")
        count = len(sql.events())
        busy.receive(project_request(20))
        answer(busy, 1020, ProjectID="project-20", PiPersonID="u1", PiRemoteSiteLogin="robin")
        rows: list[Row] = check_log(sql)
        assert [row["type"] for row in rows[count:]] == ["packet_received", "packet_decided"]


def _states(engine: Engine) -> dict[str, Any]:
    """The state of every transaction."""
    with engine.log.read() as reader:
        return {
            entry.stream: fold(entry.stream, reader.stream(entry.stream)) for entry in engine.transactions()
        }
