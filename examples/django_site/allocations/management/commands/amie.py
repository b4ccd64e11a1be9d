"""``manage.py amie`` talks to AMIE until it is stopped."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from allocations.service import migrate_log, opened_runner
from amie_engine import AMIEEngineError
from amie_engine.site import Round, Worked


class Command(BaseCommand):
    """The daemon, one round of it, or the migration of its tables."""

    help = "Poll the AMIE service, call the handlers and send the replies; until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="one round, then exit")
        parser.add_argument("--workers", type=int, default=1, help="in how many threads handlers are called")
        parser.add_argument(
            "--migrate", action="store_true", help="make the log's tables, or bring them up to date, and exit"
        )

    def handle(self, *_: Any, once: bool, workers: int, migrate: bool, **__: Any) -> None:
        try:
            if migrate:
                before, after = migrate_log()
                self.stdout.write(f"The log's tables: from {before or 'nothing'} to {after}.")
                return
            with opened_runner(workers) as runner:
                if once:
                    self._end(runner.run_once())
                else:
                    runner.run()
        except AMIEEngineError as error:
            raise CommandError(f"{error.code}: {error.message} {error.hint}") from error

    def _end(self, result: Round) -> None:
        """Tell what a round did. What went wrong in it is in the program's log."""
        self.stdout.write(f"Received {sum(result.received.values())}, arrived {result.sent}.")
        if result.errors or result.worked[Worked.FAILED] or result.worked[Worked.PARKED]:
            raise CommandError("Not everything went well: see above, and `amie-engine work`.")
