"""Export, import, backup and redaction from the command line."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from amie_engine import Engine
from amie_engine.testing import Clock
from tests.audit.moving_world import everything_at
from tests.cli.cli_world import Result, flat
from tests.log.busy_site import play

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a bit of everything in it, to be copied."""
    file = tmp_path_factory.mktemp("made") / "amie.db"
    clock = Clock()
    with Engine(f"sqlite:///{file}", site="NCSA", clock=clock) as engine:
        play(engine, clock)
    return file


@pytest.fixture
def log(made: Path, folder: Path) -> str:
    """Such a log in the current folder."""
    shutil.copy(made, folder / "amie.db")
    return URL


def newest() -> int:
    return everything_at(URL)[1].position


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def piped(command: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own, in a shell."""
    amie = f'"{sys.executable}" -c "from amie_engine.cli import main; main()"'
    script = f"set -o pipefail\n{command.replace('amie-engine', amie)}"
    return subprocess.run(["/bin/bash", "-c", script], capture_output=True, env=dict(os.environ), check=False)


# Export


def test_it_writes_json_lines_to_standard_output(amie: Amie, log: str) -> None:
    done = piped("amie-engine export")
    assert (done.returncode, done.stderr) == (0, b"")
    header, *events, end = lines(done.stdout.decode("ascii"))
    assert header["format"] == "amie-engine-events"
    assert [event["position"] for event in events] == list(range(1, newest() + 1))
    assert end["count"] == newest()


@pytest.mark.parametrize(("name", "form"), [("e.jsonl", "jsonl"), ("e.parquet", "parquet"), ("e", "jsonl")])
def test_a_file_and_what_it_tells_of_it(amie: Amie, log: str, name: str, form: str) -> None:
    result = amie("export", "--to", name)
    assert (result.status, result.err) == (0, "")
    assert result.out == f"Exported {newest()} events, from position 1 to {newest()}, in {name}.\n"
    assert (Path(name).read_bytes()[:4] == b"PAR1") == (form == "parquet")
    told = amie("export", "--to", name, "--force", "--json").json
    assert (told["file"], told["format"], told["count"], told["redacted"]) == (name, form, newest(), False)


def test_the_format_can_be_named(amie: Amie, log: str) -> None:
    assert amie("export", "--to", "e.dat", "--format", "parquet").status == 0
    assert Path("e.dat").read_bytes()[:4] == b"PAR1"
    assert amie("export", "--to", "e.parquet", "--format", "jsonl").status == 0
    assert Path("e.parquet").read_bytes()[:1] == b"{"
    wrong = amie("export", "--to", "x", "--format", "csv")
    assert (wrong.status, Path("x").exists()) == (2, False)
    assert "There are: jsonl, parquet." in wrong.err


def test_a_range(amie: Amie, log: str) -> None:
    result = amie("export", "--after", "10", "--until", "12", "--to", "e.jsonl")
    assert result.out == "Exported 2 events, from position 11 to 12, in e.jsonl.\n"
    assert amie("export", "--after", "11", "--until", "12", "--to", "one").out.startswith(
        "Exported the event at position 12, in"
    )
    assert amie("export", "--after", str(newest()), "--to", "no").out == "Exported no events, in no.\n"
    for option in ("--after", "--until"):
        wrong = amie("export", option, "9999", "--to", "x")
        assert wrong.status == 2
        assert f"{option}: the log has no position 9999." in wrong.err
    turned = amie("export", "--after", "50", "--until", "10", "--to", "x")
    assert (turned.status, Path("x").exists()) == (2, False)
    assert "--until 10 is before --after 50" in turned.err
    assert amie("export", "--after", "-1").status == 2


def test_a_file_is_replaced_only_by_force(amie: Amie, log: str) -> None:
    amie("export", "--until", "2", "--to", "e.jsonl")
    earlier = Path("e.jsonl").read_text()
    wrong = amie("export", "--to", "e.jsonl")
    assert (wrong.status, Path("e.jsonl").read_text()) == (1, earlier)
    assert "file-not-written" in wrong.err
    assert "--force" in wrong.err
    assert amie("export", "--to", "e.jsonl", "--force").status == 0
    assert len(lines(Path("e.jsonl").read_text())) == newest() + 2
    Path("empty").touch()
    assert amie("export", "--to", "empty", "--force").status == 0


@pytest.mark.parametrize("content", [b"precious\n", b"PAR1 precious", b'{"format": "of ours"}\n'])
def test_force_replaces_no_file_but_an_export(amie: Amie, log: str, content: bytes) -> None:
    Path("e").write_bytes(content)
    wrong = amie("export", "--to", "e", "--force")
    assert (wrong.status, wrong.out, Path("e").read_bytes()) == (1, "", content)
    assert "it is no export" in flat(wrong.err)


def test_force_replaces_no_device(amie: Amie, log: str) -> None:
    os.mkfifo("pipe")
    assert amie("export", "--to", "pipe", "--force").status == 1
    assert Path("pipe").is_fifo()


@pytest.mark.parametrize("name", ["amie.db", "link.db", "amie.db-wal", "amie.db-shm", "amie.db-journal"])
@pytest.mark.parametrize(
    "command", ["export --force --to", "export --to", "backup --to", "seal --key k --to", "seal --new-key"]
)
def test_no_command_writes_over_a_database(amie: Amie, log: str, name: str, command: str) -> None:
    amie("seal", "--new-key", "k")
    Path("link.db").symlink_to("amie.db")
    before = everything_at(URL)
    wrong = amie(*command.split(), name)
    assert (wrong.status, wrong.out) == (1, "")
    assert "a SQLite database" in flat(wrong.err)
    assert everything_at(URL) == before
    assert not any(Path(f"amie.db{end}").exists() for end in ("-wal", "-shm", "-journal"))


@pytest.mark.parametrize("option", ["--json", "--force", "--format=parquet"])
def test_what_only_a_file_can_have(amie: Amie, log: str, option: str) -> None:
    wrong = amie("export", option)
    assert (wrong.status, wrong.out) == (2, "")
    assert "is of a FILE" in wrong.err


def test_what_is_staged_is_told_of(amie: Amie, log: str) -> None:
    with sqlite3.connect("amie.db") as connection:
        connection.execute(
            "INSERT INTO amie_staged (hub, site, call, arguments, staged_at)"
            " VALUES ('h', 's', '', '', ''), ('h', 's', '', '', '')"
        )
    result = amie("export", "--to", "e.jsonl")
    assert result.status == 0
    assert "warning In the database 2 staged calls wait to be carried out" in flat(result.err)
    wrong = amie("import", URL, "--database", "sqlite:///new.db")
    assert wrong.status == 1
    assert "wait 2 staged calls" in wrong.err
    assert "amie-engine poll" in wrong.err


@pytest.mark.parametrize("option", ["--until", "--after"])
@pytest.mark.parametrize("given", ["2,324", "-1", "x", "1.5", "9" * 30])
def test_what_is_no_position_is_told_in_our_words(amie: Amie, log: str, option: str, given: str) -> None:
    wrong = amie("export", option, given)
    assert (wrong.status, wrong.out) == (2, "")
    assert f"{given} is no position. Give digits alone, such as 2324." in " ".join(
        flat(wrong.err).replace("│", "").split()
    )


@pytest.mark.parametrize(
    "command",
    [
        "export",
        "transactions",
        "transactions --json",
        "replay --all",
        "audit --resource hc.ncsa.xsede",
        "show 50002 --documents --json",
        "quarantine",
        "verify",
    ],
)
def test_where_the_reader_has_had_enough_the_status_is_as_the_shell_has_it(
    amie: Amie, log: str, command: str
) -> None:
    """Nobody reads: whatever is written is too much. It is no error to be told, and no good end either."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from amie_engine.cli import main; main()", *command.split()],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_what_is_told_before_the_reader_goes_arrives(amie: Amie, log: str) -> None:
    with Engine(URL, site="NCSA") as engine:
        for number in range(300):
            engine.receive(f"bad {number} " + "x" * 3000)  # more than fits into a pipe
    done = piped("amie-engine export | head -n 1")
    assert (done.returncode, done.stderr) == (141, b"")
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["export", "replay", "transactions --json"])
def test_output_that_cant_be_written_is_one(
    amie: Amie, log: str, monkeypatch: pytest.MonkeyPatch, command: str, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    done = piped(f"amie-engine {command} > /dev/full")
    assert done.returncode == 1
    assert b"Standard output can't be written: No space left" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["transactions", "transactions --json"])
def test_a_closed_output_ends_no_command(amie: Amie, log: str, command: str) -> None:
    done = piped(f"amie-engine {command} >&-")
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_log_that_is_not_there(amie: Amie, folder: Path) -> None:
    wrong = amie("export", "--to", "e.jsonl")
    assert (wrong.status, list(folder.iterdir())) == (1, [])
    assert "There is no log at amie.db." in wrong.err


def test_the_help_has_the_command_that_installs_what_parquet_needs(amie: Amie, folder: Path) -> None:
    assert "pip install 'amie-engine[parquet]'" in flat(amie("export", "--help").out)


# Redaction


def test_a_redacted_export_and_a_redacted_story_have_the_same_pseudonyms(amie: Amie, log: str) -> None:
    done = piped("amie-engine export --redact")
    *_, end = lines(done.stdout.decode("ascii"))
    assert end["count"] == newest()
    story = amie("show", "50002", "--documents", "--redact", "--json")
    document = story.json["entries"][0]["document"]
    email = document["body"]["PiEmail"]
    assert email.startswith("Email:")
    assert email in done.stdout.decode("ascii")
    plain = amie("show", "50002", "--documents", "--json").json["entries"][0]["document"]
    assert plain["body"]["PiEmail"] not in done.stdout.decode("ascii")
    assert plain["body"]["PiEmail"] not in story.out
    assert document["body"]["GrantNumber"] == plain["body"]["GrantNumber"]
    assert document["header"] == plain["header"]
    shown = amie("show", "50002", "--documents", "--redact").out
    assert email in shown
    assert plain["body"]["PiEmail"] not in shown


def test_a_traceback_is_hidden_too(amie: Amie, log: str) -> None:
    assert "details" in amie("show", "50010", "--documents", "--redact", "--json").out
    entries = amie("show", "50010", "--documents", "--redact", "--json").json["entries"]
    [failed] = [entry for entry in entries if entry["event"] == "work_failed"]
    assert failed["document"]["details"].startswith("details:")


def test_without_documents_there_is_nothing_to_redact(amie: Amie, log: str) -> None:
    wrong = amie("show", "50002", "--redact")
    assert (wrong.status, wrong.out) == (2, "")
    assert "Add --documents" in wrong.err


@pytest.mark.parametrize("columns", ["40", "80"])
def test_documents_are_printed_as_json_however_narrow_the_terminal_is(
    amie: Amie, log: str, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    told = amie("show", "50002", "--documents").out
    stored = amie("show", "50002", "--documents", "--json").json["entries"]
    documents = [entry["document"] for entry in stored if entry["document"] is not None]
    printed = [json.loads(text) for text in re.findall(r"^\{$.*?^\}$", told, re.MULTILINE | re.DOTALL)]
    assert documents
    assert printed == documents
    assert [entry["sentence"] in told for entry in stored] == [True] * len(stored)


# Import


@pytest.mark.parametrize("source", ["e.jsonl", "e.parquet", URL])
def test_it_makes_the_same_log_again(amie: Amie, log: str, source: str) -> None:
    if source != URL:
        amie("export", "--to", source)
    result = amie("import", source, "--database", "sqlite:///new.db")
    assert (result.status, result.err) == (0, "")
    assert result.out == (
        f"The tables were made. Imported {newest()} events into sqlite:///new.db,"
        " and made the projections anew.\n"
    )
    assert everything_at("sqlite:///new.db") == everything_at(URL)
    assert amie("transactions", "--database", "sqlite:///new.db").out == amie("transactions").out
    assert amie("replay", "--check", "--database", "sqlite:///new.db").status == 0


def test_json_tells_what_was_imported(amie: Amie, log: str) -> None:
    told = amie("import", URL, "--database", "sqlite:///new.db", "--json").json
    head = everything_at(URL)[1]
    assert told == {
        "database": "sqlite:///new.db",
        "count": head.position,
        "last_hash": head.hash,
        "made_tables": True,
    }


def test_through_a_pipe(amie: Amie, log: str) -> None:
    done = piped("amie-engine export | gzip | gzip -dc | amie-engine import - --database sqlite:///new.db")
    assert (done.returncode, done.stderr) == (0, b"")
    assert everything_at("sqlite:///new.db") == everything_at(URL)


def test_standard_input_that_was_cut_off(amie: Amie, log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    export = piped("amie-engine export").stdout
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(export[:-40])))
    wrong = amie("import", "-", "--database", "sqlite:///new.db")
    assert wrong.status == 1
    assert "The input is no whole export: line" in wrong.err
    assert "was cut off" in wrong.err
    with sqlite3.connect("new.db") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


@pytest.mark.parametrize(
    ("options", "code"), [(["--redact"], "export-redacted"), (["--after", "5"], "export-partial")]
)
def test_what_is_no_whole_log_is_refused(amie: Amie, log: str, options: list[str], code: str) -> None:
    amie("export", "--to", "e.jsonl", *options)
    wrong = amie("import", "e.jsonl", "--database", "sqlite:///new.db")
    assert (wrong.status, wrong.out) == (1, "")
    assert code in wrong.err
    assert not Path("new.db").exists()


def test_a_log_that_has_events_is_refused(amie: Amie, log: str) -> None:
    amie("export", "--to", "e.jsonl")
    before = everything_at(URL)
    wrong = amie("import", "e.jsonl")
    assert wrong.status == 1
    assert "log-not-empty" in wrong.err
    assert everything_at(URL) == before


def test_a_database_or_a_packed_file_is_told_from_an_export(amie: Amie, log: str) -> None:
    Path("e.jsonl.gz").write_bytes(gzip.compress(piped("amie-engine export").stdout))
    for source, told, hint in (
        ("amie.db", "is a SQLite database", "sqlite:///FILE"),
        ("e.jsonl.gz", "is packed", "gzip -dc FILE | amie-engine import -"),
    ):
        wrong = amie("import", source, "--database", "sqlite:///new.db")
        assert (wrong.status, Path("new.db").exists()) == (1, False)
        assert told in wrong.err
        assert hint in wrong.err


@pytest.mark.parametrize("source", ["sqlite:///no.db", "sqlite:///without.db"])
def test_what_is_wrong_with_the_source_is_told_of_the_source(amie: Amie, log: str, source: str) -> None:
    with closing(sqlite3.connect("without.db")) as connection:
        connection.execute("CREATE TABLE others (x)")
    wrong = amie("import", source, "--database", "sqlite:///new.db")
    assert (wrong.status, Path("new.db").exists()) == (1, False)
    assert "SOURCE has to be the URL" in wrong.err
    assert "--database" not in wrong.err
    assert "migrate" not in wrong.err


def test_another_programs_database_gets_no_tables_by_a_slip(amie: Amie, log: str) -> None:
    with closing(sqlite3.connect("others.db")) as connection:
        connection.execute("CREATE TABLE others (x)")
    before = Path("others.db").read_bytes()
    wrong = amie("import", URL, "--database", "sqlite:///others.db")
    assert wrong.status == 1
    assert "database-schema-missing" in wrong.err
    assert "amie-engine migrate" in wrong.err
    assert Path("others.db").read_bytes() == before
    assert amie("migrate", "--database", "sqlite:///others.db").status == 0
    assert amie("import", URL, "--database", "sqlite:///others.db").status == 0
    assert everything_at("sqlite:///others.db") == everything_at(URL)


@pytest.mark.parametrize(("source", "status"), [("no.jsonl", 1), ("sqlite:///no.db", 1), ("mysql://x/y", 2)])
def test_a_source_that_is_none(amie: Amie, folder: Path, source: str, status: int) -> None:
    wrong = amie("import", source)
    assert (wrong.status, wrong.out) == (status, "")
    assert list(folder.iterdir()) == []


# Backup


def test_a_copy_is_made_and_told_of(amie: Amie, log: str) -> None:
    result = amie("backup", "--to", "copy.db")
    assert (result.status, result.err) == (0, "")
    size = Path("copy.db").stat().st_size
    assert result.out == f"copy.db holds the log up to position {newest()}: {size / 1e6:,.1f} MB.\n"
    assert everything_at("sqlite:///copy.db") == everything_at(URL)
    told = amie("backup", "--to", "other.db", "--json").json
    assert told == {
        "file": "other.db",
        "position": newest(),
        "hash": everything_at(URL)[1].hash,
        "bytes": size,
    }
    assert amie("verify", "--database", "sqlite:///copy.db").status == 0


def test_no_copy_overwrites_a_file(amie: Amie, log: str) -> None:
    Path("copy.db").write_text("precious")
    wrong = amie("backup", "--to", "copy.db")
    assert (wrong.status, Path("copy.db").read_text()) == (1, "precious")
    assert "There is a file copy.db already." in wrong.err


def test_of_postgresql_it_tells_the_command(amie: Amie, folder: Path) -> None:
    url = "postgresql://amie:top-secret@localhost:1/amie"
    wrong = amie("backup", "--to", "copy.dump", "--database", url)
    assert wrong.status == 1
    assert "pg_dump --format=custom --file=copy.dump --dbname=postgresql://amie@localhost:1/amie" in wrong.err
    assert "top-secret" not in wrong.err


def test_a_log_that_is_not_there_has_no_copy(amie: Amie, folder: Path) -> None:
    assert amie("backup", "--to", "copy.db").status == 1
    assert list(folder.iterdir()) == []
