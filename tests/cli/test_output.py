"""What commands write: readable in any encoding, and harmless to a terminal."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime

import pytest

from amie_engine.cli.output import one_line, prepare_streams, print_json, print_json_line, printable, shown
from amie_engine.cli.tables import age

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


def test_json_is_ascii_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "Jos\u00e9 \ud800", "at": NOW, "bytes": b"\xff"}
    print_json(value)
    print_json_line(value)
    out = capsys.readouterr().out
    assert out.isascii()
    pretty, line = out.rstrip("\n").rsplit("\n", 1)
    assert json.loads(pretty) == json.loads(line)
    assert json.loads(line)["name"] == "Jos\u00e9 \ud800"
    assert json.loads(line)["at"] == "2026-01-15T12:00:00+00:00"


def test_text_that_the_encoding_has_no_form_for_comes_out_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    prepare_streams()
    print("Jos\u00e9 \ud800", flush=True)  # noqa: T201 # what is tested
    assert raw.getvalue() == b"Jos\\xe9 \\ud800\n"


def test_foreign_text_moves_no_cursor_and_is_no_mark_up() -> None:
    assert printable("a\x1b[2J\nb\x9b\u202ec") == "a [2J\nb  c"
    assert one_line(" a\n\tb\r\x00c ") == "a b c"
    assert shown("[bold]x[/bold]") == r"\[bold]x\[/bold]"
    assert shown(None) == ""


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (172_800, "2 d"), (-90, "in 1 min")],
)
def test_ages_are_told_in_their_largest_unit(seconds: int, told: str) -> None:
    then = datetime.fromtimestamp(NOW.timestamp() - seconds, UTC)
    assert age(then, NOW) == told
