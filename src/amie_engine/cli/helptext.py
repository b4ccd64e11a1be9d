"""How a command's docstring becomes its help: paragraphs flow, indented examples stay as they are."""

from __future__ import annotations

import inspect

from rich.markup import escape

from amie_engine.cli.settings import DEFAULT_FILE, ENVIRONMENT_PREFIX

__all__ = ["SETTINGS_NOTE", "help_text", "paragraphs"]

SETTINGS_NOTE = (
    f"What no option says comes from {ENVIRONMENT_PREFIX}* variables ({ENVIRONMENT_PREFIX}DATABASE, say),"
    f" then from {DEFAULT_FILE} in the current folder."
)
"""Where settings come from, below the help of each command that has any."""


def paragraphs(docstring: str | None) -> list[tuple[bool, str]]:
    """Return a docstring's paragraphs, each with whether it is an example, which keeps its lines."""
    found = []
    for paragraph in inspect.cleandoc(docstring or "").split("\n\n"):
        lines = paragraph.splitlines()
        is_example = all(line.startswith("    ") for line in lines)
        text = "\n".join(line[4:] for line in lines) if is_example else " ".join(lines)
        found.append((is_example, text))
    return found


def help_text(docstring: str | None) -> str:
    """Return a docstring as the text of ``--help``, which is then wrapped to the terminal's width."""
    return "\n\n".join(
        "\n".join(f"  [bold]{escape(line)}[/bold]" for line in text.splitlines())
        if is_example
        else escape(text)
        for is_example, text in paragraphs(docstring)
    )
