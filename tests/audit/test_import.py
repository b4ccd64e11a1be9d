"""Import: the same log again, hash for hash; or nothing at all."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from amie_engine.audit import check_projections, export, import_log, importing, rebuild, verify
from amie_engine.engine import Engine, folding, late_projection
from amie_engine.errors import (
    AMIEEngineError,
    ConcurrencyConflict,
    DatabaseForeign,
    DatabaseSchemaMissing,
    DatabaseSchemaNewer,
    DependencyMissing,
    EventUnreadable,
    ExportPartial,
    ExportRedacted,
    ExportUnreadable,
    LogNotEmpty,
    StagedCallsWaiting,
)
from amie_engine.log.database import Database
from amie_engine.log.whole import STORED_COLUMNS, WholeLog
from amie_engine.packet import NotifyPersonIDs
from amie_engine.testing import Clock
from tests.audit.moving_world import everything, everything_at, lines_of
from tests.audit.tampering import erase_some
from tests.log.busy_site import project_request, sample, whole_project
from tests.log.chain_check import COLUMNS, broken_at, hash_of, read_rows

Bare = Callable[[], sqlite3.Connection]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Database]:
    """A database in a file that is not there yet."""
    database = Database(f"sqlite:///{tmp_path / 'target.db'}?timeout=1")
    yield database
    database.close()


@pytest.fixture
def lines(busy: Engine, tmp_path: Path) -> list[bytes]:
    """The lines of an export."""
    export(busy.database, tmp_path / "events.jsonl")
    return (tmp_path / "events.jsonl").read_bytes().splitlines(keepends=True)


def stream_of(lines: list[bytes]) -> io.BytesIO:
    return io.BytesIO(b"".join(lines))


def is_untouched(target: Database) -> bool:
    """Whether a database that was not there has nothing in it."""
    file = Path(str(target.engine.url.database))
    if not file.exists():
        return True
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT name FROM sqlite_master").fetchall() == []


# The same log again


@pytest.mark.parametrize("name", ["events.jsonl", "events.parquet", None, "database"])
def test_every_column_of_every_event_the_counter_and_the_projections_are_the_same(
    busy: Engine, target: Database, tmp_path: Path, name: str | None
) -> None:
    if name == "database":
        imported = import_log(target, busy.database)
    elif name is None:
        stream = io.BytesIO()
        export(busy.database, stream)
        stream.seek(0)
        imported = import_log(target, stream)
    else:
        export(busy.database, tmp_path / name)
        imported = import_log(target, tmp_path / name)
    head = busy.log.whole.head()
    assert (imported.count, imported.last_hash, imported.made_tables) == (head.position, head.hash, True)
    assert everything(target) == everything(busy.database)
    assert check_projections(target).differing == {}
    with closing(sqlite3.connect(str(target.engine.url.database))) as connection:
        rows = read_rows(connection)
    assert broken_at(rows) == []
    assert len(rows) > 120


def test_the_name_of_the_log_is_another(busy: Engine, target: Database) -> None:
    import_log(target, busy.database)
    assert WholeLog(target).log_id() != busy.log.log_id


def test_an_imported_log_goes_on(busy: Engine, target: Database, clock: Clock) -> None:
    import_log(target, busy.database)
    with Engine(str(target.engine.url), site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 300)
        assert engine.expected_reply(50_300).state == "completed"
        with closing(sqlite3.connect(str(target.engine.url.database))) as connection:
            assert broken_at(read_rows(connection)) == []


def test_a_database_with_tables_and_no_events_takes_it(busy: Engine, target: Database, clock: Clock) -> None:
    with Engine(str(target.engine.url), site="NCSA", clock=clock):
        pass
    assert not import_log(target, busy.database).made_tables
    assert everything(target) == everything(busy.database)


@pytest.mark.parametrize("batch", [1, 7])
def test_whatever_memory_has_forgotten_is_read_again(
    busy: Engine, target: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    for number in range(200, 210):
        whole_project(busy, clock, number)
    monkeypatch.setattr(importing, "_BATCH", batch)
    monkeypatch.setattr(importing, "_STREAMS", batch)
    monkeypatch.setattr(folding.Folder.__init__, "__kwdefaults__", {"states": 2})
    monkeypatch.setattr(late_projection, "_MOST", 3)
    import_log(target, busy.database)
    assert everything(target) == everything(busy.database)


@pytest.mark.parametrize("most", range(1, 6))
def test_a_wire_id_that_went_from_one_stream_to_another(
    engine: Engine, target: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """A packet is held in a stream of its own, until the service says that it is of a transaction of ours."""
    engine.start(NotifyPersonIDs(PersonID="u1", PrimaryPersonID="u1", PersonIDList=["u1"]))
    [outgoing] = engine.outbox.open()
    engine.receive(project_request(1))
    inform = "spec/inform_transaction_complete.success.in"
    assert engine.receive(sample(inform, transaction=62_000, packet=92_001)).kind == "held"
    engine.outbox.attempt(outgoing)
    [outgoing] = engine.outbox.open()
    engine.outbox.confirm(outgoing, {"result": {"header": {"packet_rec_id": 92_000, "trans_rec_id": 62_000}}})
    assert engine.expected_reply(62_000).state == "completed"
    monkeypatch.setattr(late_projection, "_MOST", most)
    import_log(target, engine.database)
    assert everything(target) == everything(engine.database)


def test_erased_documents_stay_erased(busy: Engine, target: Database, clock: Clock, tmp_path: Path) -> None:
    erase_some(busy, clock)
    export(busy.database, tmp_path / "events.jsonl")
    import_log(target, tmp_path / "events.jsonl")
    assert everything(target) == everything(busy.database)
    rows = list(WholeLog(target).rows())
    erased = [row for row in rows if row[16] is None and row[18] is not None]
    assert len(erased) > 3
    assert verify(target).whole


def test_a_log_as_it_was_is_a_log(busy: Engine, target: Database, tmp_path: Path) -> None:
    rows = everything(busy.database)[0]
    export(busy.database, tmp_path / "events.jsonl", until=40)
    import_log(target, tmp_path / "events.jsonl")
    assert everything(target)[0] == rows[:40]
    assert WholeLog(target).head().hash == rows[39][-1]
    assert check_projections(target).differing == {}
    assert rebuild(target).changed == {}


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.parquet"])
def test_a_log_without_events_is_one_too(engine: Engine, target: Database, tmp_path: Path, name: str) -> None:
    export(engine.database, tmp_path / name)
    assert import_log(target, tmp_path / name).count == 0
    assert everything(target) == everything(engine.database)


def test_progress_is_told(busy: Engine, target: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_BATCH", 50)
    told: list[tuple[int, int]] = []
    import_log(target, busy.database, lambda done, total: told.append((done, total)))
    newest = busy.log.whole.head().position
    assert told[:2] == [(50, newest), (100, newest)]
    assert told[-1] == (newest, newest)


# Nothing at all


def refused(target: Database, source: Any, error: type[AMIEEngineError], match: str) -> None:
    with pytest.raises(error, match=match):
        import_log(target, source)
    assert is_untouched(target)


def test_wherever_an_export_was_cut_off_it_is_refused(lines: list[bytes], target: Database) -> None:
    """At the end of a line, in the middle of one, and before its last character."""
    whole = len(lines)
    for kept in (1, 2, 3, 50, whole - 3, whole - 2, whole - 1):
        cut = [
            stream_of(lines[:kept]),
            stream_of([*lines[:kept], lines[kept][: len(lines[kept]) // 2]]),
            stream_of([*lines[:kept], lines[kept][:-2]]),
        ]
        for stream in cut:
            with pytest.raises(ExportUnreadable, match="cut off"):
                import_log(target, stream)
    assert is_untouched(target)
    assert import_log(target, stream_of(lines)).count == whole - 2


def test_a_last_line_without_its_line_end_is_whole(lines: list[bytes], target: Database) -> None:
    assert import_log(target, stream_of([*lines[:-1], lines[-1].rstrip()])).count == len(lines) - 2


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_a_parquet_file_that_was_cut_off(busy: Engine, target: Database, tmp_path: Path, cut: int) -> None:
    file = tmp_path / "events.parquet"
    export(busy.database, file)
    file.write_bytes(file.read_bytes()[:-cut])
    refused(target, file, ExportUnreadable, "whole Parquet file")


def test_a_parquet_file_that_was_damaged_within(busy: Engine, target: Database, tmp_path: Path) -> None:
    file = tmp_path / "events.parquet"
    export(busy.database, file)
    content = bytearray(file.read_bytes())
    content[100:4000] = bytes(3900)
    file.write_bytes(content)
    refused(target, file, ExportUnreadable, "file .* (whole Parquet|is damaged)")


@pytest.mark.parametrize("lost", ["amie-engine-events", "amie-engine-events-end"])
def test_a_parquet_file_of_somebody_else(busy: Engine, target: Database, tmp_path: Path, lost: str) -> None:
    export(busy.database, tmp_path / "events.parquet")
    table = parquet.read_table(tmp_path / "events.parquet")
    metadata = parquet.read_metadata(tmp_path / "events.parquet").metadata
    kept = {key: value for key, value in metadata.items() if key not in (lost.encode(), b"ARROW:schema")}
    parquet.write_table(table.replace_schema_metadata(kept), tmp_path / "other.parquet")
    refused(
        target, tmp_path / "other.parquet", ExportUnreadable, "is no (export of amie-engine|whole export)"
    )


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("where", [1, 60, -2])
def test_a_value_that_was_changed_is_found_wherever_it_is(
    lines: list[bytes], target: Database, column: str, where: int
) -> None:
    event = json.loads(lines[where])
    was = event[column]
    event[column] = was + 1 if isinstance(was, int) else "0" * 32 if was is None else f"{was}0"
    lines[where] = json.dumps(event).encode() + b"\n"
    position = json.loads(lines[where - 1]).get("position", 0) + 1
    refused(target, stream_of(lines), ExportUnreadable, f"position {position} is not as it was appended")


@pytest.mark.parametrize("value", [None, 1.5, True, [], {}, "\ud800", "a\x00b", 7])
@pytest.mark.parametrize("column", ["position", "actor", "packet_type", "facts", "document", "hash"])
def test_a_value_that_no_database_has_is_refused(
    lines: list[bytes], target: Database, column: str, value: Any
) -> None:
    event = json.loads(lines[5])
    event[column] = value
    lines[5] = json.dumps(event).encode() + b"\n"
    refused(target, stream_of(lines), ExportUnreadable, "position 5 ")


def test_an_event_that_is_missing_doubled_or_out_of_order(lines: list[bytes], target: Database) -> None:
    for changed in (
        [*lines[:30], *lines[31:]],
        [*lines[:30], lines[29], *lines[30:]],
        [*lines[:30], lines[31], lines[30], *lines[32:]],
    ):
        refused(target, stream_of(changed), ExportUnreadable, "position 30 .*its position is")


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b"null\n", b"7\n", b"{}\n", b'{"position": 30}\n', b"\xff\xfe\n", b"[" * 10_000]
)
def test_a_line_that_is_no_event(lines: list[bytes], target: Database, line: bytes) -> None:
    refused(target, stream_of([*lines[:30], line, *lines[30:]]), ExportUnreadable, "line 31 ")


def test_an_end_in_the_middle_and_one_that_does_not_fit(lines: list[bytes], target: Database) -> None:
    refused(target, stream_of([*lines, lines[-1]]), ExportUnreadable, "goes on after its end")
    refused(target, stream_of([*lines[:30], lines[-1], *lines[30:]]), ExportUnreadable, "line 32 goes on")
    refused(target, stream_of([*lines[:-2], lines[-1]]), ExportUnreadable, "other events than its end says")
    for changed in ({"count": 1}, {"last_position": None}, {"last_hash": "0"}):
        end = json.dumps({**json.loads(lines[-1]), **changed}).encode()
        refused(target, stream_of([*lines[:-1], end]), ExportUnreadable, "other events than its end says")


@pytest.mark.parametrize(
    ("header", "match"),
    [
        (b"", "no export of amie-engine"),
        (b"\n", "no export of amie-engine"),
        (b"PK\x03\x04", "no export of amie-engine"),
        (b'{"format": "something-else"}\n', "no export of amie-engine"),
        ({"version": 2}, "of version 2, which this release does not know"),
        ({"version": "1"}, "other columns"),
        ({"columns": ["position"]}, "other columns"),
        ({"first_position": "1"}, "header of .* is damaged"),
        ({"redacted": None}, "header of .* is damaged"),
        ({"last_position": 9_999}, "other events than its beginning says"),
    ],
)
def test_a_file_that_is_none_of_ours(
    lines: list[bytes], target: Database, header: bytes | dict[str, Any], match: str
) -> None:
    if isinstance(header, dict):
        header = json.dumps({**json.loads(lines[0]), **header}).encode() + b"\n"
    refused(target, stream_of([header, *lines[1:]] if header else []), ExportUnreadable, match)


def test_a_file_that_cant_be_read(target: Database, tmp_path: Path) -> None:
    refused(target, tmp_path / "no.jsonl", ExportUnreadable, "No such file")
    refused(target, tmp_path, ExportUnreadable, "Is a directory")


@pytest.mark.parametrize("name", ["events.jsonl", "events.parquet"])
def test_what_is_no_whole_log(busy: Engine, target: Database, tmp_path: Path, name: str) -> None:
    export(busy.database, tmp_path / name, redact=True)
    refused(target, tmp_path / name, ExportRedacted, "is redacted")
    export(busy.database, tmp_path / name, after=3, replace=True)
    refused(target, tmp_path / name, ExportPartial, "begins with position 4")


def test_a_header_that_lies_does_not_help(busy: Engine, target: Database, tmp_path: Path) -> None:
    export(busy.database, tmp_path / "events.jsonl", redact=True)
    header, *lines = lines_of(tmp_path / "events.jsonl")
    told = [json.dumps(line).encode() + b"\n" for line in ({**header, "redacted": False}, *lines)]
    refused(target, stream_of(told), ExportUnreadable, "position 1 .*without a salt")


def test_without_pyarrow(
    busy: Engine, target: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(busy.database, tmp_path / "events.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    refused(target, tmp_path / "events.parquet", DependencyMissing, r"amie-engine\[parquet\]")


def rewritten(lines: list[bytes], where: int, **changes: Any) -> list[bytes]:
    """An export of which an event was changed, and all hashes made anew, by somebody who knows how."""
    previous = ""
    told = [lines[0]]
    for number, line in enumerate(lines[1:-1], 1):
        event = json.loads(line)
        if number == where:
            event |= changes
            event["facts_digest"] = sha256(event["facts"].encode()).hexdigest()
        event["hash"] = previous = hash_of(event, previous)
        told.append(json.dumps(event).encode() + b"\n")
    return [*told, json.dumps({**json.loads(lines[-1]), "last_hash": previous}).encode()]


def test_what_another_release_wrote_is_refused(lines: list[bytes], target: Database) -> None:
    for changes in ({"type": "no_such_event"}, {"schema_version": 99}, {"schema_version": -1}):
        with pytest.raises(EventUnreadable, match="position 20 "):
            import_log(target, stream_of(rewritten(lines, 20, **changes)))
    assert is_untouched(target)


@pytest.mark.parametrize(
    "time", ["zzzz", "", "2027-01-20", "2027-01-20T09:30:00Z", "2027-13-20T09:30:00.000000Z"]
)
def test_good_hashes_do_not_make_a_time(lines: list[bytes], target: Database, time: str) -> None:
    """It would be the earliest time of every event to come."""
    last = len(lines) - 2
    changed = stream_of(rewritten(lines, last, recorded_at=time))
    refused(target, changed, ExportUnreadable, f"position {last} .* its time is none")


def test_good_hashes_do_not_make_a_log(lines: list[bytes], target: Database) -> None:
    """Whoever makes hashes can't bring in what the engine would choke on later."""
    held = next(n for n, line in enumerate(lines) if b'"packet_held"' in line)
    for facts in ("{}", "no JSON", "[]", "null"):
        source = stream_of(rewritten(lines, held, facts=facts))
        refused(target, source, ExportUnreadable, f"no amie-engine wrote the event at position {held}")
    first, second = (n for n, line in enumerate(lines) if b'"packet_rec_id":"70001"' in line or n == 9)
    twice = {"type": "packet_received", "packet_rec_id": "70001"}
    assert {first, second} == {1, 9}
    refused(target, stream_of(rewritten(lines, 9, **twice)), ExportUnreadable, "an event before it has")
    refused(
        target, stream_of(rewritten(lines, 9, version=9)), ExportUnreadable, "its version does not follow"
    )
    early = {"recorded_at": "2000-01-01T00:00:00.000000Z"}
    refused(target, stream_of(rewritten(lines, 9, **early)), ExportUnreadable, "its time is before")


# The target


def test_a_log_with_events_is_left_as_it_is(busy: Engine, target: Database, clock: Clock) -> None:
    with Engine(str(target.engine.url), site="NCSA", clock=clock) as engine:
        whole_project(engine, clock, 1)
    before = everything(target)
    with pytest.raises(LogNotEmpty, match="up to position 8"):
        import_log(target, busy.database)
    assert everything(target) == before


def test_a_log_is_not_imported_into_itself(busy: Engine) -> None:
    before = everything(busy.database)
    with pytest.raises(LogNotEmpty):
        import_log(busy.database, busy.database)
    assert everything(busy.database) == before


def test_a_failure_leaves_empty_tables_as_they_were(
    lines: list[bytes], target: Database, clock: Clock
) -> None:
    with Engine(str(target.engine.url), site="NCSA", clock=clock):
        pass
    before = everything(target)
    with pytest.raises(ExportUnreadable):
        import_log(target, stream_of(lines[:-1]))
    assert everything(target) == before


def test_tables_of_somebody_else(busy: Engine, target: Database) -> None:
    with closing(sqlite3.connect(str(target.engine.url.database))) as connection:
        connection.execute("CREATE TABLE amie_events (position INTEGER)")
    with pytest.raises(DatabaseForeign):
        import_log(target, busy.database)


def test_a_schema_of_a_newer_release(busy: Engine, target: Database, clock: Clock) -> None:
    with Engine(str(target.engine.url), site="NCSA", clock=clock):
        pass
    with closing(sqlite3.connect(str(target.engine.url.database))) as connection:
        connection.execute("UPDATE amie_schema_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(DatabaseSchemaNewer):
        import_log(target, busy.database)


# A database as the source


def test_a_database_without_a_log_is_no_source(target: Database, tmp_path: Path) -> None:
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    refused(target, empty, DatabaseSchemaMissing, "no amie-engine tables")


def test_what_is_staged_would_stay_behind(busy: Engine, target: Database, bare: Bare) -> None:
    bare().execute(
        "INSERT INTO amie_staged (hub, site, call, arguments, staged_at) VALUES ('h', 's', 'fail', '{}', '')"
    )
    refused(target, busy.database, StagedCallsWaiting, "waits a staged call")


def test_a_source_that_grows_meanwhile_is_refused(
    busy: Engine, target: Database, clock: Clock, bare: Bare
) -> None:
    with pytest.raises(ConcurrencyConflict, match="has grown"):
        import_log(target, busy.database, lambda done, total: whole_project(busy, clock, 400))
    assert is_untouched(target)

    def stage(done: int, total: int) -> None:
        bare().execute(
            "INSERT INTO amie_staged (hub, site, call, arguments, staged_at) VALUES ('h', 's', '', '{}', '')"
        )

    with pytest.raises(StagedCallsWaiting):
        import_log(target, busy.database, stage)
    assert is_untouched(target)


def test_a_source_that_is_damaged_is_told_of(busy: Engine, target: Database, bare: Bare) -> None:
    connection = bare()
    connection.execute("DROP TRIGGER amie_events_no_update")
    connection.execute("UPDATE amie_events SET actor = 'nobody' WHERE position = 33")
    refused(target, busy.database, ExportUnreadable, "log in sqlite:.* position 33 ")


def test_all_columns_are_compared(busy: Engine) -> None:
    """The comparison of these tests sees all that there is."""
    rows, head, projections = everything_at(str(busy.database.engine.url))
    assert len(rows[0]) == len(STORED_COLUMNS) == 20
    assert rows[-1][0] == head.position
    assert all(projections.values())
