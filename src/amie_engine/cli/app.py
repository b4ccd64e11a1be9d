"""The commands, and how their errors look."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from amie_engine import __version__
from amie_engine.cli import (
    concerning,
    demo,
    inspecting,
    mending,
    moving,
    operating,
    reconciling,
    replaying,
    sandbox,
    subscribing,
    verifying,
    watching,
    working,
)
from amie_engine.cli.helptext import SETTINGS_NOTE, help_text
from amie_engine.cli.output import prepare_streams, print_error
from amie_engine.errors import (
    AMIEEngineError,
    DatabaseUnfit,
    FileNotWritten,
    InternalError,
    SandboxRefusal,
    SettingsError,
)

__all__ = ["app", "main"]

_READER_GONE = 141
"""What shells say of a command that SIGPIPE ended. It is no 0: whether the log is whole, nobody has heard."""

app = typer.Typer(
    name="amie-engine",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"amie-engine {__version__}")
        raise typer.Exit


@app.callback(
    help=(
        "Receive AMIE packets, keep every one in an append-only log, have the site's own code do the work,"
        " and send the replies.\n\n"
        "New here? [bold]amie-engine demo[/bold] plays all four official test scenarios against a service on"
        " this machine, with an example site. Then look into its log with [bold]transactions[/bold] and"
        " [bold]show[/bold].\n\n"
        "Exit status: 0 for success, 1 for an error, 2 for a mistake in the call or the settings, 3 where"
        " [bold]status[/bold] tells of something that needs a person or [bold]reconcile[/bold] finds that"
        " log and service differ, 130 where Ctrl-C ended it (a second one at run), 141 where whoever"
        " reads the output went away before its end."
    ),
    epilog=SETTINGS_NOTE,
)
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    pass


for name, command, panel, note in (
    ("demo", demo.demo, "Try it", None),
    ("sandbox", sandbox.sandbox, "Try it", None),
    ("migrate", operating.migrate, "Run it", SETTINGS_NOTE),
    ("run", operating.run, "Run it", SETTINGS_NOTE),
    ("poll", operating.poll, "Run it", SETTINGS_NOTE),
    ("status", watching.status, "Run it", SETTINGS_NOTE),
    ("health", watching.health, "Run it", SETTINGS_NOTE),
    ("transactions", inspecting.transactions, "Look into the log", SETTINGS_NOTE),
    ("show", inspecting.show, "Look into the log", SETTINGS_NOTE),
    ("quarantine", inspecting.quarantine, "Look into the log", SETTINGS_NOTE),
    ("reconcile", reconciling.reconcile, "Do what needs a person", SETTINGS_NOTE),
    ("work", working.work, "Do what needs a person", SETTINGS_NOTE),
    ("answer", working.answer, "Do what needs a person", SETTINGS_NOTE),
    ("retry", working.retry, "Do what needs a person", SETTINGS_NOTE),
    ("resend", mending.resend, "Do what needs a person", SETTINGS_NOTE),
    ("let-pass", working.let_pass, "Do what needs a person", SETTINGS_NOTE),
    ("fail", working.fail, "Do what needs a person", SETTINGS_NOTE),
    ("confirm-deadline", working.confirm_deadline, "Do what needs a person", SETTINGS_NOTE),
    ("subscribers", subscribing.subscribers, "Do what needs a person", SETTINGS_NOTE),
    ("verify", verifying.verify, "Audit it", SETTINGS_NOTE),
    ("seal", verifying.seal, "Audit it", SETTINGS_NOTE),
    ("replay", replaying.replay, "Audit it", SETTINGS_NOTE),
    ("rebuild", replaying.rebuild, "Audit it", SETTINGS_NOTE),
    ("audit", concerning.audit, "Audit it", SETTINGS_NOTE),
    ("erase", concerning.erase, "Audit it", SETTINGS_NOTE),
    ("export", moving.export, "Audit it", SETTINGS_NOTE),
    ("import", moving.import_events, "Audit it", SETTINGS_NOTE),
    ("backup", moving.backup, "Audit it", SETTINGS_NOTE),
):
    app.command(name, help=help_text(command.__doc__), epilog=note, rich_help_panel=panel)(command)


def main() -> None:
    """Run the command. An error is told in a line or two on standard error, without a traceback.

    Exit status: 0 for success, 1 for an error, 2 for a mistake in the call or the settings; 3 where `status`
    tells of something that needs a person; 141 where whoever reads standard output went away before its end.
    """
    prepare_streams()
    try:
        app(prog_name="amie-engine")
    except SystemExit as end:
        if _is_broken_pipe(end):
            _discard_output()
            sys.exit(_READER_GONE)
        raise
    except AMIEEngineError as error:
        print_error(error)
        sys.exit(2 if isinstance(error, SettingsError | SandboxRefusal | DatabaseUnfit) else 1)
    except OSError as error:  # what else can fail so has errors of its own
        _discard_output()
        print_error(_output_lost(error))
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 # whatever it is, its text may be personal, and is not shown
        print_error(InternalError.caused_by(error, "running the command"))
        sys.exit(1)
    finally:
        _close_output()


def _is_broken_pipe(end: SystemExit) -> bool:
    """Whether typer or rich ended a command since nobody reads its output any more; they do so with 1."""
    cause: BaseException | None = end
    while cause is not None and not isinstance(cause, BrokenPipeError):
        cause = cause.__context__
    return cause is not None


def _close_output() -> None:
    """Write out what is still buffered. Where nobody reads it any more, since it was for ``head``, say, there
    is no reason to complain. Anything else is an error, also where the command itself came to a good end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        sys.exit(_READER_GONE)
    except OSError as error:
        _discard_output()
        print_error(_output_lost(error))
        sys.exit(1)


def _discard_output() -> None:
    """Let what is still buffered go nowhere: else Python would try to write it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _output_lost(error: OSError) -> AMIEEngineError:
    """The error for standard output that can't be written: it is a stream, and has no file's name."""
    if error.filename is not None or error.strerror is None:
        return InternalError.caused_by(error, "running the command")
    return FileNotWritten(f"Standard output can't be written: {error.strerror}.")
