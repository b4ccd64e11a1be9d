"""The pictures in diagrams/: one a transaction type, in Mermaid, drawn from the machines.

``python -m amie_engine.protocol.diagrams FOLDER`` writes them; a test fails when they are stale.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from transitions.extensions.diagrams_mermaid import Graph

from amie_engine.protocol.machine import machine_for
from amie_engine.protocol.rows import FINAL_STATES, TRANSACTION_TYPES, Move, Party, State, TransactionType

__all__ = ["diagram", "pages", "write_pages"]

_ARROWS = {Party.HUB: "hub", Party.SITE: "site"}
_LABELS = {
    Move.INFORM_SUCCESS: "inform_transaction_complete (success)",
    Move.INFORM_FAILURE: "inform_transaction_complete (failure)",
    Move.SET_FAILED: "state/failed",
    Move.DEADLINE_CONFIRMED: "deadline confirmed as passed",
}
_EDGE = re.compile(r"^(?P<edge>\s*\w+ --> \w+): (?P<triggers>.*)$")


def _label(triggers: str) -> str:
    """An edge's label: who makes which move; the ways to fail in one word."""
    labels = []
    for trigger in triggers.split(" | "):
        sender, _, move = trigger.partition("_")
        if move in (Move.INFORM_FAILURE, Move.SET_FAILED, Move.DEADLINE_CONFIRMED):
            label = "failure"
        else:
            label = f"{_ARROWS[Party(sender)]} - {_LABELS[Move(move)] if move in set(Move) else move}"
        if label not in labels:
            labels.append(label)
    return " | ".join(labels)


def diagram(transaction_type: str) -> str:
    """Return the Mermaid source of a transaction type's state diagram."""
    graph = Graph(machine_for(transaction_type))  # type: ignore[arg-type] # it takes the machine, not a class
    drawn = []
    for line in graph.get_graph(title=f"title: {transaction_type}").source.splitlines():
        if line.lstrip().startswith(("classDef ", "Class ")):
            continue  # the reader's own theme, dark or light, colours it
        match = _EDGE.match(line)
        drawn.append(f"{match['edge']}: {_label(match['triggers'])}" if match else line.rstrip())
    drawn += [f"  {state} --> [*]" for state in State if state in FINAL_STATES]
    return "\n".join(drawn) + "\n"


def _page(transaction: TransactionType) -> str:
    first = "the hub" if transaction.originator is Party.HUB else "the site"
    rows = "\n".join(
        f"| {row.state} | {row.sender} | {_LABELS[Move(row.move)] if row.move in set(Move) else row.move} "
        f"| {row.next_state} |"
        for row in transaction.rows
    )
    return (
        f"# {transaction.name} ({transaction.abbreviation})\n\nBegun by {first}."
        " Generated from `src/amie_engine/protocol/rows.py`.\n\n"
        f"```mermaid\n{diagram(transaction.name)}```\n\n"
        "| in state | sender | move | next state |\n|---|---|---|---|\n"
        f"{rows}\n\n[All transaction types](README.md)\n"
    )


def _index() -> str:
    rows = []
    for transaction in TRANSACTION_TYPES.values():
        moves = [
            row for row in transaction.rows if row.move not in _LABELS or row.move == Move.INFORM_SUCCESS
        ]
        sequence = ", ".join(
            f"{row.sender}: {'ITC' if row.move == Move.INFORM_SUCCESS else row.move}" for row in moves
        )
        rows.append(
            f"| [{transaction.name}]({transaction.name}.md) | {transaction.abbreviation} "
            f"| {transaction.originator} | {sequence} |"
        )
    return (
        "# The transaction types\n\nOne state machine each; generated from"
        " `src/amie_engine/protocol/rows.py` by `python -m amie_engine.protocol.diagrams diagrams`."
        " ITC is inform_transaction_complete.\n\n"
        "| transaction type | | begun by | sequence |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "From every state that is not final, a failure ITC from either side, `state/failed`, or a passed"
        " deadline that the site's operator confirms leads to `failed`.\n"
    )


def pages() -> dict[str, str]:
    """Return every page of diagrams/, by file name."""
    return {"README.md": _index()} | {
        f"{transaction.name}.md": _page(transaction) for transaction in TRANSACTION_TYPES.values()
    }


def write_pages(folder: Path) -> None:
    """Write every page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
