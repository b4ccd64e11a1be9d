"""Whatever transactions there are about whomever: an audit finds its causes, an erasure all of a person."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amie_engine.audit import audit
from amie_engine.audit.rows import DirectoryRow
from amie_engine.engine import Engine
from amie_engine.log.database import Database
from amie_engine.packet.registry import PACKET_TYPES
from amie_engine.testing.strategies import bodies
from tests.audit.people import FIELDS, history
from tests.audit.test_erasing import documents, erase, states
from tests.engine.courses import course
from tests.engine.courses import documents as packets_of
from tests.engine.playing import Document, Ids, history_of, ticking_clock
from tests.log.rebuilding import projection_rows, rebuild

people = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

KINDS = [
    *("request_project_create", "request_account_create", "request_person_merge", "request_user_modify"),
    *("request_project_inactivate", "request_project_reactivate", "request_account_inactivate"),
    *("request_account_reactivate", "notify_project_create", "notify_account_create", "notify_person_ids"),
    *("notify_project_inactivate", "notify_account_inactivate", "notify_person_duplicate"),
]
ABOUT_PERSONS = [kind for kind in KINDS if "project_inactivate" not in kind and "reactivate" not in kind]
"""The packets about the state of a project need not name anybody."""

MADE = {
    *("active", "person", "project", "account", "person_id", "global_id", "merged_into"),
    *("grant_number", "pi_person_id", "login"),
}
ASKED = {"person": ("u", 4), "project": ("p", 3), "grant": ("G", 2), "resource": ("r", 2)}


def one_of(letter: str, count: int) -> st.SearchStrategy[str]:
    return st.sampled_from([f"{letter}{number}" for number in range(count)])


transactions = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "global_id": one_of("g", 5) | st.none(),
        "login": one_of("l", 3),
        "gone": one_of("u", 4),
        "gone_global_id": one_of("g", 5),
        **{name: one_of(*values) for name, values in ASKED.items()},
    }
)


@people
@given(st.lists(transactions, max_size=12), one_of(*ASKED["person"]), one_of(*ASKED["project"]))
def test_every_row_of_the_directory_has_its_causes_and_none_differs(
    new_log: Callable[[], sqlalchemy.Engine], sequence: list[dict[str, Any]], person: str, project: str
) -> None:
    engine = Engine(new_log(), site="NCSA", clock=ticking_clock(), new_id=Ids())
    for trans, names in enumerate(sequence, 1):
        kind = names["kind"]
        engine.adopt(history(kind, trans, **{name: names[name] for name in names if name != "kind"}))
    every: list[dict[str, Any]] = [
        {what: f"{letter}{number}"} for what, (letter, count) in ASKED.items() for number in range(count)
    ]
    for asked in (*every, {"person": person, "project": project}, {"person": person, "grant": "G1"}):
        found = audit(engine, **asked)
        assert found.differences == ()
        rows: list[DirectoryRow] = [*found.persons, *found.projects, *found.accounts]
        assert all(row.causes for row in rows)
        for cause in (cause for row in rows for cause in row.causes):
            assert set(cause.made) <= MADE
            assert cause.packet.position <= found.position


PERSONS = [f"PERSON{number}" for number in (5077, 6088)]
"""Put together, and no literals: these Hypothesis puts into the texts that it makes up, here into somebody
else's packet."""


@st.composite
def transaction_of(draw: st.DrawFn, trans: int) -> tuple[str, Document]:
    """A whole transaction about one of two persons, with everything personal in it marked as theirs."""
    kind, person = draw(st.sampled_from(ABOUT_PERSONS)), draw(st.sampled_from(PERSONS))
    packets = packets_of(course(kind), trans=trans, first=trans * 10)
    for packet in packets:
        fields = PACKET_TYPES[packet["type"]]._fields
        body = {
            name: marked(value, person) if fields[name].personal else value
            for name, value in draw(bodies(packet["type"])).items()
        }
        for what, names in FIELDS.items():
            for name in names:
                if name in body:
                    body[name] = f"{person.lower()}-{what}"
        if "GlobalID1" in body or "GlobalID2" in body:
            body["PersonID1"] = (
                ""  # by a global id that no packet tells the person of, nobody could find them
            )
        body |= {name: f"{person.lower()}-person" for name in ("PersonID1", "PersonID2") if name in body}
        body |= {name: f"{person.lower()}-global_id" for name in ("GlobalID1", "GlobalID2") if name in body}
        if "PersonIDList" in body:
            body["PersonIDList"] = [f"{person.lower()}-person"]
        packet["body"] = body | ({"StatusCode": "Success"} if "StatusCode" in body else {})
    return person, history_of(*packets)


def marked(value: Any, person: str) -> Any:
    """A value whose every text tells whose it is."""
    if isinstance(value, list):
        return [marked(item, person) for item in value]
    if isinstance(value, dict):
        return {name: marked(item, person) for name, item in value.items()}
    return f"{person} {value}"


@people
@given(st.data(), st.integers(1, 6))
def test_nothing_of_the_person_is_left_and_everything_of_the_other(
    new_log: Callable[[], sqlalchemy.Engine], data: st.DataObject, count: int
) -> None:
    engine = Engine(new_log(), site="NCSA", clock=ticking_clock(), new_id=Ids())
    theirs: defaultdict[str, set[int]] = defaultdict(set)
    for trans in range(1, count + 1):
        person, packets = data.draw(transaction_of(trans))
        known = set(documents(engine))
        engine.adopt(packets)
        body = {"Id": f"{person.lower()}-person", "Name": f"{person} {trans}"}
        engine.receive({"type": "no_such_type", "header": {}, "body": body})
        theirs[person] |= set(documents(engine)) - known
    before, told = documents(engine), (states(engine), projection_rows(engine.database))
    person = data.draw(st.sampled_from(sorted(theirs)))
    erasure = erase(engine, f"{person.lower()}-person")
    assert set(erasure.positions) == theirs[person]
    after = documents(engine)
    assert after == {at: text for at, text in before.items() if at not in theirs[person]}
    assert not any(person in readable(text) for text in after.values())
    assert (states(engine), projection_rows(engine.database)) == told
    assert rebuild(engine.log, Database(new_log())) == told[1]


def readable(document: str) -> str:
    """A document as text; of what is in quarantine its bytes."""
    encoded = json.loads(document).get("base64")
    return document if encoded is None else base64.b64decode(encoded).decode()
