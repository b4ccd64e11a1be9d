"""Verifying and sealing by command: what is said, to people and to programs, and with which exit status."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from amie_engine.audit.problems import MEANINGS
from amie_engine.cli import progress
from tests.audit.tampering import drop_triggers
from tests.cli.cli_world import Result, flat, log, packet

Amie = Callable[..., Result]
URL = "sqlite:///amie.db"


@pytest.fixture
def filled(folder: Path) -> Path:
    """A log of two sites with five events."""
    for number, site in enumerate(["NCSA", "NCSA", "NCSA", "PSC", "PSC"], 1):
        document = packet(number)
        document["header"] |= {"remote_site_name": site}
        with log(URL, site=site) as engine:
            engine.receive(document)
    return folder / "amie.db"


@pytest.fixture
def sealed(amie: Amie, filled: Path) -> Path:
    """The same with a key, and a seal of it."""
    assert amie("seal", "--new-key", "audit.key").status == 0
    assert amie("seal", "--key", "audit.key", "--to", "log.seal").status == 0
    return filled


def tampered(file: Path, sql: str) -> None:
    """Change a log whose triggers were dropped."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        drop_triggers(connection)
        assert connection.execute(sql).rowcount > 0


def test_a_whole_log_is_told_in_a_line_with_its_speed(amie: Amie, filled: Path) -> None:
    before = filled.read_bytes()
    result = amie("verify")
    assert (result.status, result.err) == (0, "")
    line, projections = result.out.splitlines()
    assert line.startswith("The log is whole: 5 events looked at, up to position 5 (0.0 MB in 0.0 s, ")
    assert line.endswith(" MB/s).")
    assert projections.startswith("The projections say what the events say: ")
    assert amie("verify", "--events-only").out.count("\n") == 1
    assert filled.read_bytes() == before


def test_an_empty_log_is_whole(amie: Amie, folder: Path) -> None:
    with log(URL):
        pass
    assert amie("verify").out == "The log is whole: it has no events.\n"


def test_the_first_problem_is_told_with_its_position_and_what_it_can_mean(amie: Amie, filled: Path) -> None:
    tampered(filled, "UPDATE amie_events SET actor = 'Robin Example' WHERE position IN (2, 4)")
    result = amie("verify")
    assert (result.status, result.err) == (1, "")
    first, *others = result.out.splitlines()
    assert first.startswith("The log is not whole: 2 problems; 5 events looked at, up to position 5 (")
    assert others == [
        "The first at position 2: The hash of event 2 does not follow from event 1 and its own columns."
        " (hash-wrong)",
        "  A column of it was changed, or an event before it was changed, removed or put in.",
        "Then:",
        "  The hash of event 4 does not follow from event 3 and its own columns. (hash-wrong)",
    ]


def test_many_problems_are_counted_by_kind(amie: Amie, filled: Path) -> None:
    tampered(filled, "UPDATE amie_events SET facts = '{}', document = NULL, actor = 'x'")
    tampered(filled, "DELETE FROM amie_log_head")
    out = amie("verify").out
    assert "16 problems" in out
    assert (
        "  and 6 more. In all: 1 counter-missing, 5 document-half-erased, 5 facts-changed, 5 hash-wrong."
        in out
    )


def test_a_problem_of_no_event_has_no_position(amie: Amie, filled: Path) -> None:
    tampered(filled, "DELETE FROM amie_log_head")
    result = amie("verify")
    assert "1 problem; " in result.out
    assert "\nThe first: The counter row of the log is missing. (counter-missing)\n" in result.out
    assert amie("verify", "--json").json["problems"][0]["position"] is None


def test_programs_get_json(amie: Amie, filled: Path) -> None:
    verdict = amie("verify", "--json").json
    assert (verdict["whole"], verdict["events"], verdict["position"]) == (True, 5, 5)
    assert (verdict["count"], verdict["kinds"], verdict["problems"]) == (0, {}, [])
    assert (verdict["seals"], verdict["since"]) == ([], None)
    assert (verdict["events_whole"], verdict["projections_agree"], verdict["not_compared"]) == (
        True,
        True,
        None,
    )
    assert verdict["bytes"] > 5000
    assert verdict["megabytes_per_second"] == pytest.approx(
        verdict["bytes"] / verdict["seconds"] / 1e6, abs=0.1
    )
    tampered(filled, "DELETE FROM amie_events WHERE position = 3")
    result = amie("verify", "--json")
    assert result.status == 1
    assert result.json["kinds"] == {"event-missing": 1}
    assert result.json["problems"] == [
        {
            "position": 3,
            "code": "event-missing",
            "sentence": "Event 3 is missing: event 4 follows event 2.",
            "meaning": "It was deleted, or another number was given to it.",
        }
    ]


def test_a_bar_is_shown_on_a_terminal_and_nowhere_else(
    amie: Amie, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert amie("verify").err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "Console", lambda **_: Console(stderr=True, force_terminal=True))
    result = amie("verify")
    assert "Verifying" in result.err
    assert "5/5" in result.err
    assert result.out.startswith("The log is whole")


# Seals


def test_a_key_is_made_with_words_about_both_files(amie: Amie, folder: Path) -> None:
    result = amie("seal", "--new-key", "audit.key")
    assert result.status == 0
    assert result.out.splitlines() == [
        "The private key is in audit.key: who has it can make seals. Keep it to yourself.",
        "The public key is in audit.key.pub: give it to whoever verifies.",
    ]
    assert Path("audit.key").stat().st_mode & 0o777 == 0o600
    again = amie("seal", "--new-key", "audit.key")
    assert again.status == 1
    assert "audit.key.pub already" in flat(again.err)
    assert amie("seal", "--new-key", "other.key", "--json").json == {
        "key": "other.key",
        "public_key": "other.key.pub",
    }
    assert list(folder.glob("*.db")) == []


def test_a_seal_is_printed_or_written_and_never_replaces_another(amie: Amie, sealed: Path) -> None:
    printed = json.loads(amie("seal", "--key", "audit.key").out)
    assert printed["position"] == 5
    written = json.loads(Path("log.seal").read_text(encoding="ascii"))
    assert (printed["hash"], printed["public_key"]) == (written["hash"], written["public_key"])
    assert Path("log.seal").stat().st_mode & 0o777 == 0o644
    again = amie("seal", "--key", "audit.key", "--to", "log.seal")
    assert again.status == 1
    assert "There is a file log.seal already." in again.err
    assert json.loads(Path("log.seal").read_text(encoding="ascii")) == written
    third = amie("seal", "--key", "audit.key", "--to", "third.seal", "--json")
    assert third.out == Path("third.seal").read_text(encoding="ascii")
    told = amie("seal", "--key", "audit.key", "--to", "fourth.seal").out
    assert told == "Sealed up to event 5, in fourth.seal.\n"


def test_a_log_with_its_seal_says_so_and_whether_the_key_was_checked(amie: Amie, sealed: Path) -> None:
    with log(URL) as engine:
        engine.receive(packet(9))
    result = amie("verify", "--seal", "log.seal", "--public-key", "audit.key.pub")
    assert result.status == 0
    assert "6 events looked at" in result.out
    assert "up to event 5 it is what it was then. It was signed with the key that you gave." in result.out
    unchecked = amie("verify", "--seal", "log.seal")
    assert unchecked.status == 0
    assert "Whose key signed it was not checked: give --public-key." in unchecked.out


def test_since_a_seal_only_what_is_new_is_looked_at(amie: Amie, sealed: Path) -> None:
    result = amie("verify", "--since", "log.seal", "--public-key", "audit.key.pub")
    assert result.out.startswith("Nothing is wrong with what is new: nothing behind event 5.\n")
    with log(URL) as engine:
        engine.receive(packet(9))
    result = amie("verify", "--since", "log.seal")
    assert "1 event behind event 5 looked at, up to position 6" in result.out
    assert "up to event 5 nothing was looked at again" in result.out
    as_json = amie("verify", "--since", "log.seal", "--json").json
    assert (as_json["events"], as_json["since"]["seal"]["position"]) == (1, 5)
    assert as_json["since"]["seal"]["key_known"] is False
    assert as_json["since"]["problem"] is None


def test_a_log_without_its_seal_is_told(amie: Amie, sealed: Path) -> None:
    tampered(sealed, "DELETE FROM amie_events WHERE position > 3")
    tampered(
        sealed,
        "UPDATE amie_log_head SET (position, hash, recorded_at) ="
        " (SELECT position, hash, recorded_at FROM amie_events WHERE position = 3)",
    )
    assert amie("verify", "--events-only").status == 0
    result = amie("verify", "--seal", "log.seal")
    assert result.status == 1
    assert "The log ends with event 3, and the seal was made at 5. (log-shorter-than-seal)" in result.out
    assert "contains the seal" not in result.out
    first, *others = result.out.splitlines()
    assert first.startswith("The events are whole: 3 events looked at, up to position 3 (")
    assert "The projections differ from the events:" in others
    assert [line for line in others if line.startswith("The log does not contain the seal of ")]
    as_json = amie("verify", "--seal", "log.seal", "--json").json
    assert (as_json["whole"], as_json["events_whole"], as_json["projections_agree"]) == (False, True, False)
    assert as_json["seals"][0]["problem"]["code"] == "log-shorter-than-seal"
    since = amie("verify", "--since", "log.seal")
    assert since.status == 1
    assert since.out.splitlines()[0] == "No event was looked at: the log does not contain where to begin."
    assert "log-shorter-than-seal" in since.out
    assert "not whole" not in since.out


def test_every_seal_has_its_own_answer_whatever_else_is_wrong(amie: Amie, sealed: Path) -> None:
    with log(URL) as engine:
        engine.receive(packet(9))
    assert amie("seal", "--key", "audit.key", "--to", "second.seal").status == 0
    arguments = ("verify", "--seal", "log.seal", "--seal", "second.seal")
    whole = amie(*arguments)
    assert whole.status == 0
    assert "up to event 5 it is what it was then" in whole.out
    assert "up to event 6 it is what it was then" in whole.out
    tampered(sealed, "UPDATE amie_events SET hash = 'x' WHERE position = 6")
    result = amie(*arguments)
    assert result.status == 1
    assert result.out.startswith("The log is not whole: 2 problems; 6 events looked at")
    assert "event 5 has the hash that was sealed" in result.out
    assert "what it was then" not in result.out
    assert "Event 6 does not have the hash that was sealed. (sealed-event-differs)" in result.out
    told = [one["problem"] and one["problem"]["code"] for one in amie(*arguments, "--json").json["seals"]]
    assert told == [None, "sealed-event-differs"]


def test_what_was_not_looked_at_is_not_said_to_be_what_it_was(amie: Amie, sealed: Path) -> None:
    tampered(sealed, "DELETE FROM amie_events WHERE position BETWEEN 2 AND 4")
    result = amie("verify", "--seal", "log.seal", "--since", "log.seal")
    assert "what it was then" not in result.out
    assert "whole" not in result.out
    assert "event 5 has the hash that was sealed" in result.out
    assert "up to event 5 nothing was looked at again" in result.out


def test_projections_that_differ_do_not_make_the_events_suspect(amie: Amie, sealed: Path) -> None:
    tampered(sealed, "DELETE FROM amie_work")
    result = amie("verify", "--seal", "log.seal")
    assert result.status == 1
    first, *others = result.out.splitlines()
    assert first.startswith("The events are whole: 5 events looked at")
    assert others[0] == "The projections differ from the events:"
    assert others[1].startswith("  amie_work: 5 rows differ from what the events say, first that of event 1.")
    assert others[2] == f"  {MEANINGS['projection-differs']}"
    assert others[3].startswith("The log contains the seal of ")


def test_a_seal_that_proves_nothing_is_an_error(amie: Amie, sealed: Path) -> None:
    assert amie("seal", "--new-key", "other.key").status == 0
    Path("odd.seal").write_text("{}")
    changed = json.loads(Path("log.seal").read_text(encoding="ascii")) | {"position": 4}
    Path("changed.seal").write_text(json.dumps(changed))
    for arguments, code in (
        (("--seal", "no.seal"), "seal-unreadable"),
        (("--seal", "odd.seal"), "seal-invalid"),
        (("--since", "changed.seal"), "seal-signature-wrong"),
        (("--seal", "log.seal", "--public-key", "other.key.pub"), "seal-signature-wrong"),
        (("--seal", "log.seal", "--public-key", "audit.key"), "seal-key-unusable"),
    ):
        result = amie("verify", *arguments)
        assert (result.status, result.out) == (1, "")
        assert result.err.endswith(f"  {code}, see docs/errors.md\n")


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("verify",), 1, "database-unavailable"),
        (("seal", "--key", "audit.key"), 1, "database-unavailable"),
        (("verify", "--database", "sqlite:///file:no.db?mode=ro&uri=true"), 1, "database-unavailable"),
        (("seal",), 2, "settings-invalid"),
        (("seal", "--new-key", "x", "--key", "x"), 2, "settings-invalid"),
        (("verify", "--public-key", "x"), 2, "settings-invalid"),
    ],
)
def test_a_mistake_leaves_nothing_behind(
    amie: Amie, folder: Path, arguments: tuple[str, ...], status: int, code: str
) -> None:
    result = amie(*arguments)
    assert (result.status, result.out) == (status, "")
    assert result.err.endswith(f"  {code}, see docs/errors.md\n")
    assert list(folder.iterdir()) == []


def test_an_empty_log_can_not_be_sealed(amie: Amie, folder: Path) -> None:
    with log(URL):
        pass
    amie("seal", "--new-key", "audit.key")
    result = amie("seal", "--key", "audit.key", "--to", "log.seal")
    assert result.status == 1
    assert "has no events yet" in flat(result.err)
    assert not Path("log.seal").exists()


@pytest.mark.parametrize("options", ["mode=ro", "immutable=1"])
def test_a_log_is_named_by_a_file_uri_too(amie: Amie, filled: Path, options: str) -> None:
    for name in ("amie.db", str(filled), f"//{filled}", f"//localhost{filled}"):
        assert amie("verify", "--database", f"sqlite:///file:{name}?{options}&uri=true").status == 0
