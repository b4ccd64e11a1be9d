"""The pictures in diagrams/ are those that the rows give, and show all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from amie_engine.protocol import TRANSACTION_TYPES, Move, State
from amie_engine.protocol.diagrams import diagram, pages, write_pages
from tests.unit.samples import PACKET_TABLE

DIAGRAMS = Path(__file__).parents[2] / "diagrams"


def test_the_pictures_in_the_repository_are_not_stale() -> None:
    kept = {path.name: path.read_text(encoding="utf-8") for path in DIAGRAMS.iterdir()}
    assert kept == pages(), "run: python -m amie_engine.protocol.diagrams diagrams"


def test_pages_are_written_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "diagrams"
    write_pages(folder)
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == pages()


def test_the_first_page_links_every_type() -> None:
    index = pages()["README.md"]
    for name, transaction in TRANSACTION_TYPES.items():
        assert f"| [{name}]({name}.md) | {transaction.abbreviation} | {transaction.originator} |" in index
    assert len(pages()) == len(TRANSACTION_TYPES) + 1


@pytest.mark.parametrize("name", TRANSACTION_TYPES)
class TestPicture:
    def test_every_state_of_the_type_is_in_it_and_no_other(self, name: str) -> None:
        lines = diagram(name).splitlines()
        reached = {State.START, *(row.next_state for row in TRANSACTION_TYPES[name].rows)}
        for state in State:
            assert (f'  state "{state}" as {state}' in lines) == (state in reached)
        assert "  [*] --> start" in lines
        assert "  completed --> [*]" in lines
        assert "  failed --> [*]" in lines

    def test_every_packet_type_stands_on_its_edge(self, name: str) -> None:
        lines = diagram(name).splitlines()
        for row in TRANSACTION_TYPES[name].rows:
            if row.move in PACKET_TABLE:
                assert f"  {row.state} --> {row.next_state}: {row.sender} - {row.move}" in lines
            elif row.move == Move.INFORM_SUCCESS:
                move = "inform_transaction_complete (success)"
                assert f"  {row.state} --> completed: {row.sender} - {move}" in lines
            else:
                assert f"  {row.state} --> failed: failure" in lines
        edges = [line for line in lines if " --> " in line and "[*]" not in line]
        assert len(edges) == len({(row.state, row.next_state) for row in TRANSACTION_TYPES[name].rows})

    def test_its_page_lists_every_row(self, name: str) -> None:
        page = pages()[f"{name}.md"]
        rows = [line for line in page.splitlines() if line.startswith("| ")]
        assert len(rows) == len(TRANSACTION_TYPES[name].rows) + 1
        assert f"```mermaid\n{diagram(name)}```" in page
        assert page.startswith(f"# {name} ({TRANSACTION_TYPES[name].abbreviation})\n")
