"""The reference page of the command, made from the commands themselves.

``python -m amie_engine.cli.reference docs/command-line.md`` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from amie_engine.cli.app import app
from amie_engine.cli.helptext import SETTINGS_NOTE, paragraphs
from amie_engine.cli.settings import DEFAULT_FILE, ENVIRONMENT_PREFIX, SETTINGS

__all__ = ["reference"]

_INTRODUCTION = """# The command line

<!-- Made by: python -m amie_engine.cli.reference docs/command-line.md -->

`amie-engine` is installed with the package. `amie-engine --help` lists the commands, and `--help` after a
command tells its options; this page has the same texts in one place.
"""

_CONVENTIONS = """## What all commands share

**Exit status**: 0 for success; 1 for an error, also where `demo`, `run --once` or `quarantine --release` did
not come to a good end, where `health` finds no daemon, and where `reconcile` could not ask about all;
2 for a mistake in the call or the settings; 3 where `status` tells of something that needs a person, or
`reconcile` finds that log and service differ; 130 where Ctrl-C ended it (at `run`, a second one); 141, as a
shell says of any command, where whoever reads the output (`head`, say) went away before its end.

**Errors** go to standard error: what happened, what to do, and a code that [errors](errors.md) explains.
`AMIE_ENGINE_TRACEBACK=1` adds the traceback, which may hold personal data.

**`--json`** prints JSON to standard output and nothing else there; `run --json` and `sandbox --json` print a
line for each thing that they tell.

**Tables** are as wide as a terminal, or as `COLUMNS` says; where the output is neither, each row is one line,
and nothing in it is broken or cut.

**Personal data** is shown by `show --documents`, `resend`, `quarantine ID` and `export`, and by nothing else;
the first and the last have `--redact`. Copies made by `backup` hold it. It is never in what is logged.
"""


def reference() -> str:
    """Return the page, in Markdown. It does not depend on the terminal."""
    group: Any = typer.main.get_command(app)
    parts = [_INTRODUCTION]
    for panel, commands in _panels(group).items():
        links = ", ".join(f"[`{name}`](#{name})" for name, _ in commands)
        parts.append(f"- {panel}: {links}")
    parts += ["", _CONVENTIONS, _settings()]
    parts += [_command(name, command) for commands in _panels(group).values() for name, command in commands]
    return "\n".join(parts).rstrip() + "\n"


def _panels(group: Any) -> dict[str, list[tuple[str, Any]]]:
    panels: dict[str, list[tuple[str, Any]]] = {}
    for name, command in group.commands.items():
        panels.setdefault(command.rich_help_panel, []).append((name, command))
    return panels


def _settings() -> str:
    rows = [
        (
            f"`{name}`",
            f"`{ENVIRONMENT_PREFIX}{name.upper()}`",
            setting.metadata["meaning"],
            _code(setting.default),
        )
        for name, setting in SETTINGS.items()
    ]
    return f"""## Settings

A setting is taken from the command's option, else from its variable, else from `{DEFAULT_FILE}` in the
current folder; `--config`, or the variable `{ENVIRONMENT_PREFIX}CONFIG`, names another file. An empty text
counts as none. Keep the key in
a file of its own that only the daemon's user can read, and name that in `api_key_file`. Paths are relative
to the current folder.

{_table(("in the file", "variable", "meaning", "default"), rows)}
A file for a site:

```toml
site = "NCSA"
hub = "access"
database = "postgresql://amie@db.example.edu/amie"
handlers = "campus.site:site"
api_key_file = "/etc/amie-engine/key"
```
"""


def _command(name: str, command: Any) -> str:
    parts = [f"## {name}", "", f"`amie-engine {name}{_usage(command)}`", ""]
    for is_example, text in paragraphs(command.callback.__doc__):
        parts += [f"```console\n{text}\n```" if is_example else _marked(text), ""]
    shown = [parameter for parameter in command.params if parameter.name != "help"]
    rows = [(_names(parameter), _help_of(parameter), _default_of(parameter)) for parameter in shown]
    parts.append(_table(("option", "meaning", "default"), rows))
    if command.epilog == SETTINGS_NOTE:
        parts.append("What no option says comes from the [settings](#settings).\n")
    return "\n".join(parts)


def _usage(command: Any) -> str:
    arguments = [
        f" {parameter.metavar}" if parameter.required else f" [{parameter.metavar}]"
        for parameter in command.params
        if parameter.param_type_name == "argument"
    ]
    return " [OPTIONS]" + "".join(arguments)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`"
    value = "" if parameter.is_flag else f" {parameter.metavar}"
    return f"`{', '.join(parameter.opts)}{value}`"


def _help_of(parameter: Any) -> str:
    return _marked(parameter.help or "")


def _default_of(parameter: Any) -> str:
    if parameter.param_type_name == "argument" or parameter.is_flag:
        return ""
    if isinstance(parameter.show_default, str):
        return str(parameter.show_default)
    return _code(parameter.default) if parameter.show_default else ""


def _code(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "" if value is None or text == "" else f"`{text}`"


def _marked(text: str) -> str:
    """Text with its options and variables set as code."""
    words, is_marked = [], False
    for word in text.split(" "):
        core = word.strip(".,;:()")
        is_code = core.startswith(("--", ENVIRONMENT_PREFIX)) or "=" in core or "://" in core
        is_bare = is_code and not is_marked and "`" not in word
        words.append(word.replace(core, f"`{core}`") if is_bare else word)
        is_marked ^= word.count("`") % 2 == 1
    return " ".join(words)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
