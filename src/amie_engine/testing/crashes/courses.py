"""The engine's own courses: the official scenarios with the example site, and what else can happen.

Each handler, and whoever acts besides, looks at what is there and goes by that: it is called anew after a
crash.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy

from amie_engine._resources import folder as resource_folder
from amie_engine.engine import Engine, RecordedEvent
from amie_engine.errors import SandboxRefusal
from amie_engine.packet import NotifyUserModify, Packet
from amie_engine.sandbox import HOSTILE, OFFICIAL_SCENARIOS, Fault, Faults, Sandbox
from amie_engine.site import Deferral, Site, Work
from amie_engine.testing.crashes.course import Course

__all__ = ["COURSES", "SITE", "declining", "followed", "steps", "told", "waiting"]

SITE = "CAMPUS"
_RESOURCE = "cluster.example.edu"
_OPERATOR = "operator"
_MENDED = "mended"
_REFUSED = "p0"
_REPLIED = ("notified", "confirmed")


def _hub(scenario: str | None, clock: Callable[[], datetime], **settings: Any) -> Sandbox:
    sandbox = Sandbox(SITE, resources=[_RESOURCE], clock=clock, **settings)
    if scenario is not None:
        sandbox.start_scenario(scenario)
    return sandbox


def _asks(scenario: str | None, **settings: Any) -> Callable[[Callable[[], datetime]], Sandbox]:
    return partial(_hub, scenario, **settings)


# The example site, whose back end knows by the work's key what it has done already


def campus(folder: Path) -> Site:
    """The example site, with its back end in the folder."""
    examples = str(resource_folder("examples"))
    if examples not in sys.path:
        sys.path.insert(0, examples)
    back_end = importlib.import_module("campus.backend").Campus(str(folder / "campus.db"))
    site: Site = importlib.import_module("campus.site").build_site(back_end, SITE)
    return site


def campus_has(folder: Path) -> list[str]:
    """All that the example site's back end has, but for the keys and the times of its operations."""
    engine = sqlalchemy.create_engine(f"sqlite:///{folder / 'campus.db'}")
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = [
            f"{table.name}: {tuple(row)}"
            for table in tables.sorted_tables
            if table.name != "finished_operations"
            for row in connection.execute(sqlalchemy.select(*(c for c in table.c if c.name != "recorded_at")))
        ]
    engine.dispose()
    return rows


# A small site, which does all its work in steps


class _BackEnd:
    """Writes down what is asked of it, once for each key: a back end that honours them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "done"
        self._folder.mkdir(exist_ok=True)

    def do(self, what: str, *, key: str) -> str:
        path = self._folder / key.replace("/", " ")
        if not path.exists():
            path.write_text(what, encoding="utf-8")
        return what


def _has_done(folder: Path) -> list[str]:
    return sorted(path.read_text(encoding="utf-8") for path in (folder / "done").glob("*"))


def _steps(back_end: _BackEnd, work: Work, *names: str) -> None:
    for name in names:
        work.step(name, back_end.do, name, key=work.step_key(name))


def told(work: Work, project_id: str = "p1") -> Packet:
    reply: Any = work.reply
    reply.ProjectID, reply.PiPersonID, reply.PiRemoteSiteLogin = project_id, "u1", "robin"
    return work.reply


def steps(folder: Path) -> Site:
    """A project is made in three steps, and its data are taken in one."""
    site, back_end = Site(SITE), _BackEnd(folder)

    @site.handles("request_project_create")
    def create(request: Packet, work: Work) -> Packet:
        _steps(back_end, work, "create group", "create login", "create directory")
        return told(work)

    @site.handles("data_project_create")
    def confirm(data: Packet, work: Work) -> Packet:
        _steps(back_end, work, "add names")
        return work.reply

    return site


def failing_at_first(folder: Path) -> Site:
    """The handler raises when it is called first."""
    site, back_end = Site(SITE), _BackEnd(folder)

    @site.handles("request_project_create")
    def create(request: Packet, work: Work) -> Packet:
        _steps(back_end, work, "create group")
        if work.attempt == 1:
            raise RuntimeError
        _steps(back_end, work, "create login")
        return told(work)

    return site


def declining(folder: Path) -> Site:
    """The site fails the transaction."""
    site, back_end = Site(SITE), _BackEnd(folder)

    @site.handles("request_project_create")
    def create(request: Packet, work: Work) -> Packet:
        _steps(back_end, work, "look into it", "ask around")
        return work.fail("There is no room for this project.")

    return site


def asking(folder: Path) -> Site:
    """A person decides, and then the work waits for a time."""
    site, back_end = Site(SITE), _BackEnd(folder)

    @site.handles("request_project_create")
    def create(request: Packet, work: Work) -> Packet | Deferral:
        _steps(back_end, work, "reserve")
        if work.ask("Shall it be made?", choices=("yes", "no")) == "no":
            return work.fail("It shall not be made.")
        opens = datetime.fromisoformat(work.step("choose a time", lambda: _in_half_an_hour(work)))
        if work.now() < opens:
            return work.defer(until=opens, reason="the machine is being mended")
        _steps(back_end, work, "create group")
        return told(work)

    return site


def _in_half_an_hour(work: Work) -> str:
    return (work.now() + timedelta(minutes=30)).isoformat()


def followed(folder: Path) -> Site:
    """A program of the site's follows the log from its beginning, and another one what is sent."""
    site, back_end = declining(folder), _BackEnd(folder)

    @site.on_event("all", since="beginning")
    def write_down(event: RecordedEvent) -> None:
        back_end.do(event.type, key=f"event {event.position}")

    @site.on_event("sent", types="packet_confirmed", since="beginning")
    def count(event: RecordedEvent) -> None:
        back_end.do("sent", key=f"sent {event.trans_rec_id} {event.packet_rec_id}")

    return site


def _has_sent(folder: Path) -> list[str]:
    return [done for done in _has_done(folder) if done == "sent"]


def answering(engine: Engine, folder: Path) -> None:
    """An operator answers what is asked."""
    for row in engine.work.open():
        if row.status == "asking":
            engine.work.answer(row.trans_rec_id, "yes", actor=_OPERATOR)


class _Choosy(Sandbox):
    """A hub that refuses a project's name, for reasons of its own."""

    def post(self, document: Any, in_reply_to: int | None = None, *, is_copy: bool = False) -> dict[str, Any]:
        if document["body"].get("ProjectID") == _REFUSED:
            raise SandboxRefusal(400, f"There is a project {_REFUSED} elsewhere.")
        return super().post(document, in_reply_to, is_copy=is_copy)


def _choosy_hub(clock: Callable[[], datetime]) -> Sandbox:
    sandbox = _Choosy(SITE, resources=[_RESOURCE], clock=clock)
    sandbox.start_scenario("request_project_create")
    return sandbox


class _Failing(Sandbox):
    """A hub that fails each transaction where it would answer."""

    def post(self, document: Any, in_reply_to: int | None = None, *, is_copy: bool = False) -> dict[str, Any]:
        self._conduct.failures = 1.0
        try:
            return super().post(document, in_reply_to, is_copy=is_copy)
        finally:
            self._conduct.failures = 0.0


def _failing_hub(clock: Callable[[], datetime]) -> Sandbox:
    sandbox = _Failing(SITE, resources=[_RESOURCE], clock=clock)
    sandbox.start_scenario("request_project_create")
    return sandbox


def misnaming(folder: Path) -> Site:
    """The service refuses the project's name until somebody has mended the handler."""
    site, back_end = Site(SITE), _BackEnd(folder)

    @site.handles("request_project_create")
    def create(request: Packet, work: Work) -> Packet:
        _steps(back_end, work, "create group")
        return told(work, "p1" if (folder / _MENDED).exists() else _REFUSED)

    return site


def mending(engine: Engine, folder: Path) -> None:
    """An operator mends the handler, and has what was refused tried again."""
    for row in engine.work.open():
        if row.status == "parked":
            (folder / _MENDED).touch()
            engine.work.retry(row.trans_rec_id, actor=_OPERATOR)


def starting(engine: Engine, folder: Path) -> None:
    """A program of the site's tells the hub of a person's new name, unless it has already."""
    if not engine.transactions():
        engine.start(_news())


def starting_joined(engine: Engine, folder: Path) -> None:
    """The same, in the transaction in which the site notes that it has."""
    site = sqlalchemy.create_engine(engine.database.engine.url)
    with site.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE IF NOT EXISTS told (person TEXT PRIMARY KEY)"))
        if connection.scalar(sqlalchemy.text("SELECT count(*) FROM told")) == 0:
            connection.execute(sqlalchemy.text("INSERT INTO told VALUES ('u1')"))
            engine.start(_news(), connection=connection)
    site.dispose()


def _news() -> Packet:
    return NotifyUserModify(ActionType="add", PersonID="u1", DnList=["/CN=Robin Example"])


def waiting(folder: Path) -> Site:
    """A project is made, and what the hub says of it then is put off."""
    site, back_end = Site(SITE), _BackEnd(folder)

    @site.handles("request_project_create")
    def create(request: Packet, work: Work) -> Packet:
        _steps(back_end, work, "create group")
        return told(work)

    @site.handles("data_project_create")
    def put_off(data: Packet, work: Work) -> Deferral:
        return work.defer(reason="an operator has to see it first")

    return site


def giving_up(engine: Engine, folder: Path) -> None:
    """An operator has a transaction set failed whose reply has gone out."""
    sending = {outgoing.trans_rec_id for outgoing in engine.outbox.open()}
    for transaction in engine.transactions(open_only=True):
        name = transaction.trans_rec_id
        if name is not None and transaction.state in _REPLIED and name not in sending:
            engine.fail(name, "The project is not wanted any more.", actor=_OPERATOR)


COURSES = (
    *(Course(name, _asks(name), campus, effects=campus_has) for name in OFFICIAL_SCENARIOS),
    Course("steps", _asks("request_project_create"), steps, effects=_has_done),
    Course("a handler raises", _asks("request_project_create"), failing_at_first, effects=_has_done),
    Course("the site fails it", _asks("request_project_create"), declining, effects=_has_done),
    Course("the hub fails it", _failing_hub, steps, effects=_has_done),
    Course("a person decides", _asks("request_project_create"), asking, answering, effects=_has_done),
    Course("the service refuses", _choosy_hub, misnaming, mending, effects=_has_done),
    Course("the site begins", _asks(None), steps, starting, effects=_has_done),
    Course("the site's own transaction", _asks(None), steps, starting_joined, effects=_has_done),
    Course("set failed", _asks("request_project_create"), waiting, giving_up, effects=_has_done),
    Course(
        "answers are lost",
        _asks("request_project_create"),
        steps,
        effects=_has_done,
        faults=partial(Faults, {Fault.DROP_ANSWER: 0.5}, seed=1),
    ),
    Course(
        "informs linger", _asks("request_project_create", lingering_informs=True), steps, effects=_has_done
    ),
    Course(
        "everything goes wrong",
        _asks("request_project_create"),
        steps,
        effects=_has_done,
        faults=partial(Faults, HOSTILE, seed=3),
    ),
    Course("somebody follows", _asks("request_project_create"), followed, effects=_has_sent),
    Course("the first start", _asks("request_project_create"), steps, effects=_has_done, from_nothing=True),
)
"""What is tried by ``python -m amie_engine.testing.crashes``."""
