"""Export: what a file holds, what of the log is in it, and what becomes of the file."""

from __future__ import annotations

import io
import json
import sqlite3
import stat
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from amie_engine.audit import export, exporting
from amie_engine.audit import parquet as parquet_files
from amie_engine.engine import Engine
from amie_engine.errors import ConcurrencyConflict, DependencyMissing, FileNotWritten, LogError
from amie_engine.log.whole import STORED_COLUMNS
from amie_engine.testing import Clock
from tests.audit.moving_world import exported, lines_of, rows_of
from tests.log.busy_site import whole_project
from tests.log.chain_check import COLUMNS
from tests.log.writers import note

Bare = Callable[[], sqlite3.Connection]


def append(engine: Engine, stream: str, count: int) -> None:
    """Append events that concern nothing, in one commit."""
    with engine.log.write() as writer:
        writer.append(stream, 0, [note(f"{number}") for number in range(count)])


def stored(bare: Bare) -> list[tuple[Any, ...]]:
    """The table, read without any of our code."""
    return bare().execute(f"SELECT {', '.join(COLUMNS)} FROM amie_events ORDER BY position").fetchall()


def test_an_export_has_a_header_every_column_of_every_event_and_an_end(
    busy: Engine, bare: Bare, tmp_path: Path
) -> None:
    header, *events, end = exported(busy.database, tmp_path / "events.jsonl")
    rows = stored(bare)
    assert header == {
        "format": "amie-engine-events",
        "version": 1,
        "columns": list(COLUMNS),
        "first_position": 1,
        "last_position": len(rows),
        "redacted": False,
    }
    assert [tuple(event.values()) for event in events] == rows
    assert all(tuple(event) == COLUMNS for event in events)
    assert end == {
        "format": "amie-engine-events-end",
        "count": len(rows),
        "last_position": len(rows),
        "last_hash": rows[-1][-1],
    }


def test_its_columns_are_those_of_the_table_in_its_order(bare: Bare) -> None:
    names = [row[1] for row in bare().execute("PRAGMA table_info(amie_events)")]
    assert list(STORED_COLUMNS) == list(COLUMNS) == names


def test_parquet_has_the_same_with_integers_and_text(busy: Engine, tmp_path: Path) -> None:
    told = export(busy.database, tmp_path / "events.parquet")
    rows = rows_of(exported(busy.database, tmp_path / "events.jsonl"))
    table = parquet.read_table(tmp_path / "events.parquet")
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    assert table.schema.names == list(COLUMNS)
    kinds = {
        str(field.type) for field in table.schema if field.name in ("position", "version", "schema_version")
    }
    assert kinds == {"int64"}
    assert {str(field.type) for field in table.schema} == {"int64", "string"}
    header, *_, end = lines_of(tmp_path / "events.jsonl")
    metadata = parquet.read_metadata(tmp_path / "events.parquet").metadata
    assert json.loads(metadata[b"amie-engine-events"]) == header
    assert json.loads(metadata[b"amie-engine-events-end"]) == end
    assert (told.count, told.last_position, told.last_hash) == (end["count"], len(rows), rows[-1][-1])


@pytest.mark.parametrize("limit", ["_GROUP_ROWS", "_GROUP_CHARACTERS"])
def test_parquet_is_written_group_by_group(
    busy: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(parquet_files, limit, 7)
    export(busy.database, tmp_path / "events.parquet")
    assert parquet.read_metadata(tmp_path / "events.parquet").num_row_groups > 15
    rows = [tuple(row.values()) for row in parquet.read_table(tmp_path / "events.parquet").to_pylist()]
    assert rows == rows_of(exported(busy.database, tmp_path / "events.jsonl"))


@pytest.mark.parametrize(("after", "until"), [(0, 20), (20, None), (20, 30), (29, 30), (30, 30)])
def test_a_range_of_positions(busy: Engine, tmp_path: Path, after: int, until: int | None) -> None:
    newest = busy.log.whole.head().position
    lines = exported(busy.database, tmp_path / "events.jsonl", after=after, until=until)
    last = until or newest
    assert [event["position"] for event in lines[1:-1]] == list(range(after + 1, last + 1))
    assert (lines[0]["first_position"], lines[0]["last_position"]) == (after + 1, last)
    assert lines[-1]["count"] == last - after
    assert lines[-1]["last_position"] == (last if last > after else None)


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.parquet"])
def test_a_log_without_events(engine: Engine, tmp_path: Path, name: str) -> None:
    told = export(engine.database, tmp_path / name)
    assert (told.count, told.first_position, told.last_position, told.last_hash) == (0, None, None, None)


def test_what_is_appended_meanwhile_is_not_in_it(engine: Engine, clock: Clock, tmp_path: Path) -> None:
    append(engine, "before", 1200)

    def go_on(done: int, total: int) -> None:
        assert total == 1200
        whole_project(engine, clock, done)

    lines = exported(engine.database, tmp_path / "events.jsonl", progress=go_on)
    assert len(lines) == 1202
    assert {line["stream"] for line in lines[1:-1]} == {"before"}
    assert engine.log.whole.head().position > 1200


def test_an_export_fails_if_documents_are_erased_meanwhile(
    engine: Engine, clock: Clock, tmp_path: Path
) -> None:
    """An event that is read afterwards lacks its document, and no event in the export would tell why."""
    whole_project(engine, clock, 1)
    append(engine, "before", 1200)

    def erase(done: int, total: int) -> None:
        engine.erase(person="u1", actor="test", reason="asked for")

    with pytest.raises(ConcurrencyConflict, match="erased"):
        export(engine.database, tmp_path / "events.jsonl", progress=erase)
    assert list(tmp_path.glob("*events*")) == []
    assert len(exported(engine.database, tmp_path / "events.jsonl")) > 1200


def test_what_is_staged_is_counted(busy: Engine, bare: Bare) -> None:
    bare().execute(
        "INSERT INTO amie_staged (hub, site, call, arguments, staged_at) VALUES ('h', 's', 'fail', '{}', '')"
    )
    assert export(busy.database, io.BytesIO()).staged == 1


# The file


@pytest.mark.parametrize("name", ["events.jsonl", "events.parquet"])
def test_a_file_is_never_replaced_unless_that_is_asked_for(busy: Engine, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    export(busy.database, file, until=2)
    before = file.read_bytes()
    with pytest.raises(FileNotWritten, match="already"):
        export(busy.database, file)
    assert file.read_bytes() == before
    export(busy.database, file, replace=True)
    assert file.stat().st_size > len(before)
    assert [path.name for path in tmp_path.iterdir() if name in path.name] == [name]


def test_a_range_that_ends_before_it_begins_is_refused(busy: Engine, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="before it begins"):
        export(busy.database, tmp_path / "events.jsonl", after=50, until=10)
    assert list(tmp_path.glob("*events*")) == []


def test_a_file_that_comes_while_the_export_is_made_stays(busy: Engine, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    with pytest.raises(FileNotWritten, match="already"):
        export(busy.database, file, progress=lambda done, total: _write(file))
    assert file.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir() if "events" in path.name] == ["events.jsonl"]


def _write(file: Path) -> None:
    file.write_text("precious")


def test_only_its_owner_may_read_it(busy: Engine, tmp_path: Path) -> None:
    export(busy.database, tmp_path / "events.jsonl")
    assert stat.S_IMODE((tmp_path / "events.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["events.jsonl", "events.parquet"])
def test_an_export_that_fails_leaves_nothing(busy: Engine, bare: Bare, tmp_path: Path, name: str) -> None:
    connection = bare()
    connection.execute("DROP TRIGGER amie_events_no_delete")
    connection.execute("DELETE FROM amie_events WHERE position = 30")
    with pytest.raises(LogError, match="position 30 "):
        export(busy.database, tmp_path / name)
    assert list(tmp_path.glob("*events*")) == []


def test_a_tail_that_is_missing_is_no_good_export_either(busy: Engine, bare: Bare) -> None:
    newest = busy.log.whole.head().position
    connection = bare()
    connection.execute("DROP TRIGGER amie_events_no_delete")
    connection.execute("DELETE FROM amie_events WHERE position = ?", [newest])
    with pytest.raises(LogError, match=f"position {newest} "):
        export(busy.database, io.BytesIO())


def test_a_row_that_no_export_can_hold_is_told_of(busy: Engine, bare: Bare) -> None:
    connection = bare()
    connection.execute("DROP TRIGGER amie_events_no_update")
    connection.execute("UPDATE amie_events SET facts = x'00ff' WHERE position = 7")
    with pytest.raises(LogError, match=r"position 7 .*its facts is no text"):
        export(busy.database, io.BytesIO())


def test_a_folder_that_is_not_there(busy: Engine, tmp_path: Path) -> None:
    with pytest.raises(FileNotWritten, match="No such file"):
        export(busy.database, tmp_path / "no" / "events.jsonl")


class Full(io.BytesIO):
    """A disk with room for so much."""

    def write(self, data: Any) -> int:
        if self.tell() > 10_000:
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_a_disk_that_is_full_is_told_of(
    busy: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", lambda *args: Full())
    with pytest.raises(FileNotWritten, match="No space left"):
        export(busy.database, tmp_path / "events.jsonl")
    monkeypatch.undo()
    assert list(tmp_path.glob("*events*")) == []


def test_without_pyarrow_parquet_is_refused_with_what_to_install(
    busy: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyMissing, match=r"amie-engine\[parquet\]"):
        export(busy.database, tmp_path / "events.parquet")
    assert list(tmp_path.glob("*events*")) == []


class Nowhere(io.BytesIO):
    """Takes everything and keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_memory_does_not_grow_with_the_log(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, form: exporting.Format
) -> None:
    monkeypatch.setattr(parquet_files, "_GROUP_ROWS", 500)
    append(engine, "few", 3000)
    few = _most_memory(engine, form)
    append(engine, "many", 7000)
    assert _most_memory(engine, form) < 1.3 * few


def _most_memory(engine: Engine, form: exporting.Format) -> int:
    export(engine.database, Nowhere(), format=form)
    tracemalloc.start()
    try:
        export(engine.database, Nowhere(), format=form)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
