"""Old events, read by a later release: step by step, without a change to what is in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amie_engine.audit import check_projections, rebuild, replay
from amie_engine.engine import Engine, OutcomeKind
from amie_engine.errors import EventUnreadable
from amie_engine.log.canonical import canonical_json
from amie_engine.log.events import UPCASTERS, Event, EventType, Upcaster, current_schema, read_facts
from amie_engine.testing.contract.checks import Sql, check_events
from amie_engine.testing.contract.story import SITE, project_reply, project_request

RECEIVED = EventType.PACKET_RECEIVED
Facts = dict[str, Any]


def of_german(facts: Facts) -> Facts:
    """From version 1 to 2: the names of the facts were German once."""
    return {
        {"inhalt": "content", "felder": "fields", "kopf": "header"}.get(k, k): v for k, v in facts.items()
    }


def of_one_list(facts: Facts) -> Facts:
    """From version 2 to 3: anomalies have a prefix."""
    return facts | {"anomalies": [f"old-{anomaly}" for anomaly in facts.get("anomalies", ())]}


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes the release under test one with some steps for the packets that were received."""

    def change(*steps: Upcaster) -> None:
        monkeypatch.setitem(UPCASTERS, RECEIVED, steps)

    return change


@pytest.fixture
def old(file: Path, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine on a log whose first event the very first release wrote, in its own words."""
    words = {"content": "inhalt", "fields": "felder", "header": "kopf"}

    def in_german(facts: Any) -> str:
        return canonical_json({words.get(k, k): v for k, v in facts.items()} if "content" in facts else facts)

    engine = Engine(f"sqlite:///{file}", site=SITE)
    with monkeypatch.context() as patch:
        patch.setattr("amie_engine.log.store.canonical_json", in_german)
        engine.receive(project_request(1, ServiceUnitsAllocated=None))
    assert '"inhalt"' in sql.events()[0]["facts"]
    yield engine
    engine.close()


def test_the_old_event_is_read_as_a_new_one_and_stays_as_it_was_written(
    old: Engine, sql: Sql, release: Callable[..., None]
) -> None:
    before = sql.events()
    release(of_german, of_one_list)
    [event] = old.log.whole.events()
    assert (event.schema_version, current_schema(RECEIVED)) == (1, 3)
    assert event.facts["fields"]["GrantNumber"] == "GRANT1"
    assert old.expected_reply(1001).anomalies == ("old-missing-item:ServiceUnitsAllocated",)
    assert sql.events() == before == check_events(sql)


def test_what_comes_again_is_found_by_what_the_old_event_says(
    old: Engine, sql: Sql, release: Callable[..., None]
) -> None:
    before = sql.events()
    release(of_german)
    assert old.receive(project_request(1, ServiceUnitsAllocated=None)).kind is OutcomeKind.ALREADY_THERE
    assert sql.events() == before
    assert old.receive(project_request(1)).kind is OutcomeKind.CONFLICT
    assert old.receive(project_request(1)).kind is OutcomeKind.CONFLICT
    assert [row["schema_version"] for row in check_events(sql)] == [1, 1]


def test_every_version_is_brought_up_by_the_steps_that_it_lacks(
    old: Engine, sql: Sql, release: Callable[..., None]
) -> None:
    release(of_german)
    old.receive(project_request(2, ServiceUnitsAllocated=None))
    release(of_german, of_one_list)
    old.receive(project_request(3, ServiceUnitsAllocated=None))
    assert [row["schema_version"] for row in check_events(sql)] == [1, 2, 3]
    missing = "missing-item:ServiceUnitsAllocated"
    anomalies = [event.facts["anomalies"] for event in old.log.whole.events()]
    assert anomalies == [[f"old-{missing}"], [f"old-{missing}"], [missing]]
    assert [entry.anomalies for entry in old.transactions()] != [()] * 3
    for number in (1, 2, 3):
        old.reply(1000 + number, project_reply(number))


def test_the_audit_reads_them_alike_and_a_rebuild_brings_the_projections_up_to_date(
    old: Engine, sql: Sql, release: Callable[..., None]
) -> None:
    release(of_german, of_one_list)
    events = sql.events()
    with replay(old.database) as replayed:
        assert [transaction.state for transaction in replayed.transactions()] == ["requested"]
    assert check_projections(old.database).differing == {"amie_transactions": 1}
    rebuild(old.database)
    assert check_projections(old.database).differing == {}
    assert sql.rows("SELECT grant_number, anomalies FROM amie_transactions") == [
        ("GRANT1", '["old-missing-item:ServiceUnitsAllocated"]')
    ]
    assert sql.events() == events


def test_a_release_without_the_steps_refuses_what_a_later_one_wrote(
    old: Engine, sql: Sql, release: Callable[..., None]
) -> None:
    release(of_german)
    old.receive(project_request(2))
    release()
    event = list(old.log.whole.events())[1]
    for refused in (
        lambda: event.facts,
        event.check_readable,
        lambda: old.expected_reply(1002),
        lambda: old.receive(project_request(2)),
        lambda: old.fail(1002, "no"),
    ):
        with pytest.raises(EventUnreadable, match="position 2 is a 'packet_received' of schema version 2"):
            refused()
    old.receive(project_request(3))
    assert old.expected_reply(1003).state == "requested"
    check_events(sql)


@pytest.mark.parametrize(
    ("event_type", "schema_version"),
    [("packet_teleported", 1), ("packet_received", 0), ("packet_received", 2), ("packet_received", -1)],
)
def test_facts_of_another_release_are_never_guessed_at(event_type: str, schema_version: int) -> None:
    with pytest.raises(EventUnreadable, match="position 7"):
        read_facts(7, event_type, schema_version, "{}")
    values = [7, "s", 1, event_type, schema_version, *[""] * 9, "{}"]
    with pytest.raises(EventUnreadable, match="position 7"):
        _ = Event(*values).facts  # type: ignore[arg-type] # in the order of the columns
