"""Redaction: nothing personal is left, everything else is, and no pseudonym can be undone."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from amie_engine.audit import Redaction, export
from amie_engine.audit.redaction import kind_of
from amie_engine.engine import Engine
from amie_engine.engine.source import identity_of
from amie_engine.packet.registry import PACKET_TYPES
from amie_engine.testing import Clock
from amie_engine.testing.strategies import documents, packets
from tests.audit.moving_world import exported
from tests.log.busy_site import project_request, sample
from tests.log.chain_check import COLUMNS, hash_of

PSEUDONYM = re.compile(r"[A-Za-z0-9_]+:[0-9a-f]{16}")
FREE_TEXT = ("Abstract", "Comment", "Message")

redaction = Redaction("f" * 32)


def redacted(database: Any, tmp_path: Path) -> list[dict[str, Any]]:
    """The events of a redacted export."""
    return exported(database, tmp_path / "redacted.jsonl", redact=True, replace=True)[1:-1]


def is_hidden(value: Any) -> bool:
    """Whether nothing is left of a value but pseudonyms, and where there is nothing."""
    if isinstance(value, list):
        return all(map(is_hidden, value))
    if isinstance(value, dict):
        return all(map(is_hidden, value.values()))
    return value in (None, "") or (isinstance(value, str) and PSEUDONYM.fullmatch(value) is not None)


def is_personal(packet_type: str, name: str) -> bool:
    """Whether an item of a body is to be hidden: declared as personal, not declared at all, or free text."""
    fields = PACKET_TYPES[packet_type]._fields
    spellings = {spelling: field for field in fields.values() for spelling in field.also}
    field = fields.get(name) or spellings.get(name)
    return field is None or field.personal or name in FREE_TEXT


# Pseudonyms


def test_the_same_value_of_the_same_kind_has_the_same_pseudonym_and_no_other_has() -> None:
    name = redaction.pseudonym("Email", "robin@example.edu")
    assert PSEUDONYM.fullmatch(name)
    assert name.startswith("Email:")
    assert redaction.pseudonym("Email", "robin@example.edu") == name
    others = {
        redaction.pseudonym("Email", "Robin@example.edu"),
        redaction.pseudonym("Email", ""),
        redaction.pseudonym("LastName", "robin@example.edu").replace("LastName", "Email"),
        redaction.pseudonym("Email", 7),
        redaction.pseudonym("Email", "7"),
        redaction.pseudonym("Email", True),
    }
    assert len(others | {name}) == 7


def test_without_the_name_of_the_log_nobody_can_test_a_guess() -> None:
    guess = redaction.pseudonym("Email", "robin@example.edu").partition(":")[2]
    assert Redaction("e" * 32).pseudonym("Email", "robin@example.edu").partition(":")[2] != guess
    texts = (
        "robin@example.edu",
        '"robin@example.edu"',
        "Emailrobin@example.edu",
        '["Email","robin@example.edu"]',
    )
    assert all(guess not in sha256(text.encode()).hexdigest() for text in texts)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("PiEmail", "Email"),
        ("UserEmail", "Email"),
        ("Email", "Email"),
        ("PiDnList", "Dn"),
        ("DnList", "Dn"),
        ("CitizenshipList", "Citizenship"),
        ("UserCitizenship", "Citizenship"),
        ("KeepPortalLogin", "PortalLogin"),
        ("Pilot", "Pilot"),
        ("UserList", "UserList"),
        ("User", "User"),
        ("", "Other"),
        ("robin@example.edu", "Other"),
    ],
)
def test_a_kind_is_the_same_whosever_the_field_is(name: str, kind: str) -> None:
    assert kind_of(name) == kind


# Packets


def test_no_field_is_both_a_fact_and_personal() -> None:
    """Facts are never erased and never redacted."""
    fields = [field for packet_type in PACKET_TYPES.values() for field in packet_type._fields.values()]
    assert len(fields) > 300
    assert [field.name for field in fields if field.fact and field.personal] == []
    assert not any(field.fact for field in fields if field.name in FREE_TEXT)


@pytest.mark.parametrize("packet_type", sorted(PACKET_TYPES))
def test_of_a_packet_the_personal_fields_are_hidden_and_the_others_stay(packet_type: str) -> None:
    fields = PACKET_TYPES[packet_type]._fields
    values: dict[str, Any] = {
        "objects": [{"Inside": "a value"}, {"Inside": "another"}],
        "list": ["a value", "another", ""],
    }
    body = {
        name: [dict.fromkeys(field.items, f"of {name}")]
        if field.items
        else values.get(field.kind, f"of {name}")
        for name, field in fields.items()
    }
    document = {"type": packet_type, "header": {"packet_rec_id": 7}, "body": body}
    after = redaction.document(document)
    assert (after["type"], after["header"]) == (packet_type, {"packet_rec_id": 7})
    assert list(after["body"]) == list(body)
    for name, field in fields.items():
        if field.personal or name in FREE_TEXT:
            assert is_hidden(after["body"][name]), name
            assert after["body"][name] != body[name]
        elif field.kind != "objects" or field.items:
            assert after["body"][name] == body[name], name


def test_what_does_not_look_like_what_belongs_there_is_hidden_wherever_it_stands() -> None:
    who = "robin@example.edu"
    names = (
        "packet_rec_id",
        "originating_site_name",
        "packet_timestamp",
        "transaction_state",
        "outgoing_flag",
    )
    odd: list[Any] = [who, {"who": who}, [who]]
    for value in odd:
        document = {
            "type": "request_project_create",
            "DATA_TYPE": value,
            "type_id": value,
            "header": dict.fromkeys(names, value)
            | {"expected_reply_list": [{"type": value, "timeout": value}]},
            "body": {"ResourceList": [{"PiEmail": value}], "GrantNumber": {"who": value}, "Abstract": value},
        }
        after = redaction.document(document)
        assert who not in json.dumps(after)
        assert is_hidden({name: item for name, item in after.items() if name != "type"})


def test_of_a_header_all_stays_that_looks_as_it_should() -> None:
    header = {
        "packet_rec_id": 174709745,
        "packet_id": "1",
        "trans_rec_id": 87100001,
        "local_site_name": "TGCDB",
        "originating_site_name": "EXAMPLE",
        "outgoing_flag": False,
        "transaction_state": "in-progress",
        "packet_timestamp": "2026-01-15T12:00:00.000Z",
        "expected_reply_list": [{"type": "notify_project_create", "timeout": 30240}],
    }
    document = {"DATA_TYPE": "Packet", "type": "request_project_create", "header": header, "body": {}}
    assert redaction.document(document) == document


def test_lists_element_by_element_and_objects_value_by_value() -> None:
    document = {
        "type": "request_project_create",
        "header": {},
        "body": {
            "PiDnList": ["/CN=Robin", "/CN=Sam", "/CN=Robin", "", None],
            "AcademicDegree": [{"Degree": "PhD", "Field": "PhD"}, {"Degree": "PhD", "robin@example.edu": 3}],
            "PiEmail": {"deep": [{"er": "robin@example.edu"}]},
        },
    }
    body = redaction.document(document)["body"]
    first, second, again, *nothing = body["PiDnList"]
    assert first == again != second
    assert nothing == ["", None]
    degrees = body["AcademicDegree"]
    assert degrees[0]["Degree"] == degrees[1]["Degree"] != degrees[0]["Field"]
    assert [key.partition(":")[0] for key in degrees[1]] == ["Degree", "Key"]
    assert is_hidden(body)
    assert "deep" not in json.dumps(body)


def test_one_person_is_one_pseudonym_in_packets_of_all_types() -> None:
    by_type = {
        "request_project_create": "PiEmail",
        "request_account_create": "UserEmail",
        "request_user_modify": "Email",
    }
    seen = set()
    for packet_type, name in by_type.items():
        document = {"type": packet_type, "header": {}, "body": {name: "robin@example.edu"}}
        seen.add(redaction.document(document)["body"][name])
    assert len(seen) == 1


def test_what_no_class_declares_counts_as_personal() -> None:
    document = {
        "type": "request_project_create",
        "header": {
            "packet_rec_id": 174_709_745,
            "remote_site_name": "NCSA",
            "packet_timestamp": "2026-01-20T09:30:00.000Z",
            "expected_reply_list": [{"type": "notify_project_create", "timeout": 30240, "for": "Robin"}],
            "in_reply_to": {
                "type": "x",
                "header": {"packet_rec_id": 5},
                "body": {"PiEmail": "robin@example.edu"},
            },
            "client_state": "waits for Robin",
            "client_json": {"who": "Robin"},
            "site_note": "Robin",
        },
        "body": {
            "UserFavouriteColor": "green",
            "robin@example.edu": "x",
            "GrantNumber": "PHY000001",
            "ProjectTitle": {"by": "Robin"},
            "Sfos": [{"Number": "120", "Robin": "Example"}],
        },
        "links": ["/people/robin"],
        "type_id": 16,
        "DATA_TYPE": "Packet",
    }
    after = redaction.document(document)
    text = json.dumps(after)
    assert not re.search("robin|green|example", text, re.IGNORECASE)
    assert after["header"]["packet_rec_id"] == 174_709_745
    assert after["header"]["remote_site_name"] == "NCSA"
    assert after["header"]["packet_timestamp"] == "2026-01-20T09:30:00.000Z"
    assert after["header"]["expected_reply_list"][0]["type"] == "notify_project_create"
    assert after["header"]["in_reply_to"]["header"] == {"packet_rec_id": 5}
    assert after["body"]["GrantNumber"] == "PHY000001"
    assert after["body"]["UserFavouriteColor"].startswith("FavouriteColor:")
    assert after["body"]["Sfos"][0]["Number"] == "120"
    assert (after["type_id"], after["DATA_TYPE"]) == (16, "Packet")


def test_another_spelling_of_a_name_is_the_same_field() -> None:
    spelled = {
        "type": "notify_person_ids",
        "header": {},
        "body": {"PersonIdList": ["u1"], "PersonIDList": ["u2"]},
    }
    assert redaction.document(spelled) == spelled


# Other documents


@pytest.mark.parametrize(
    "document",
    [
        {"base64": "Um9iaW4gRXhhbXBsZQ=="},
        {"details": "Traceback: no home for Robin Example"},
        {"message": "No Robin Example here."},
        {"reason": "Robin Example has left"},
        {"result": {"name": "Robin Example", "number": 7}, "message": ["Robin"]},
        {"result": [{"PiEmail": "robin@example.edu"}], "status": 200},
        {"Robin Example": None},
        {"arguments": "Robin Example", "message": "x"},
        {"arguments": {"base64": "Um9iaW4=", "actor": 7, "stream": ["x"]}, "message": "x"},
        ["Robin Example"],
        "Robin Example",
        7,
        True,
    ],
)
def test_of_what_is_no_packet_nothing_is_left(document: Any) -> None:
    after = redaction.document(document)
    assert is_hidden(after)
    assert "Robin" not in json.dumps(after)


def test_packets_within_other_documents_are_treated_as_packets() -> None:
    packet = {
        "type": "request_project_create",
        "header": {"packet_rec_id": 7},
        "body": {"PiEmail": "robin@example.edu", "GrantNumber": "G"},
    }
    alone = redaction.document(packet)
    answer = redaction.document({"result": packet, "message": "Robin"})
    assert answer["result"] == alone
    assert is_hidden(answer["message"])
    assert redaction.document({"result": [packet, packet]})["result"] == [alone, alone]
    arguments = {"packet": packet, "actor": "site", "work": {"handler": "robin"}}
    staged = redaction.document({"arguments": arguments, "message": "m"})
    assert staged["arguments"]["packet"] == alone
    assert staged["arguments"]["actor"] == "site"
    assert is_hidden(staged["arguments"]["work"])


def test_however_deeply_an_answer_is_nested() -> None:
    deep: Any = "Robin"
    for _ in range(900):
        deep = [deep]
    assert "Robin" not in json.dumps(redaction.document({"result": deep}))


# Exports


def test_a_redacted_export_keeps_all_but_documents_and_salts(busy: Engine, tmp_path: Path) -> None:
    whole = exported(busy.database, tmp_path / "whole.jsonl")[1:-1]
    seen = 0
    for before, after in zip(whole, redacted(busy.database, tmp_path), strict=True):
        assert list(after) == list(COLUMNS)
        assert after["document_salt"] is None
        assert (after["document"] is None) == (before["document"] is None)
        changed = {name for name in COLUMNS if after[name] != before[name]}
        assert changed <= {"document", "document_salt"}
        seen += bool(changed)
    assert seen > 30


def test_its_chain_of_hashes_holds(busy: Engine, tmp_path: Path) -> None:
    previous = ""
    for row in redacted(busy.database, tmp_path):
        assert sha256(row["facts"].encode()).hexdigest() == row["facts_digest"]
        assert hash_of(row, previous) == row["hash"]
        previous = row["hash"]
    assert previous == busy.log.whole.head().hash


def test_no_guess_of_what_is_in_quarantine_can_be_tested(busy: Engine, tmp_path: Path) -> None:
    """Whoever guesses it right finds no digest of it without the salt."""
    hidden = json.dumps(redacted(busy.database, tmp_path))
    contents = [busy.quarantined(item.quarantine_id).content for item in busy.quarantine(released=True)]
    guesses = [content for content in contents if content is not None]
    assert len(guesses) > 3
    for guess in guesses:
        for text in (guess, base64.b64encode(guess)):
            assert sha256(text).hexdigest() not in hidden
        for identity in identities(guess):
            assert sha256(identity.encode()).hexdigest() not in hidden


def identities(content: bytes) -> list[str]:
    """What of a packet stays the same from poll to poll."""
    try:
        document = json.loads(content)
        return [identity_of(document, None)]
    except (ValueError, KeyError, TypeError):
        return []


def test_every_export_of_a_log_has_the_same_pseudonyms_and_another_log_has_others(
    busy: Engine, tmp_path: Path
) -> None:
    first = redacted(busy.database, tmp_path)
    assert redacted(busy.database, tmp_path) == first
    export(busy.database, tmp_path / "redacted.parquet", redact=True)
    table = parquet.read_table(tmp_path / "redacted.parquet").to_pylist()
    assert table == first
    assert busy.log.log_id not in json.dumps(first)

    def emails(rows: list[dict[str, Any]]) -> set[str]:
        return set(re.findall("Email:[0-9a-f]{16}", json.dumps(rows)))

    with Engine("sqlite://", site="NCSA", clock=Clock()) as other:
        other.receive(project_request(1))
        others = emails(redacted(other.database, tmp_path))
    assert emails(first)
    assert others
    assert emails(first).isdisjoint(others)


def test_every_document_of_a_busy_log_is_redacted(busy: Engine, tmp_path: Path) -> None:
    """Whatever events of the log have documents, in whatever form."""
    types = set()
    for row in redacted(busy.database, tmp_path):
        document = None if row["document"] is None else json.loads(row["document"])
        if document is None:
            continue
        types.add(row["type"])
        if "body" in document:
            personal = [
                value for name, value in document["body"].items() if is_personal(document["type"], name)
            ]
            assert is_hidden(personal)
        elif row["type"] != "staged_refused":
            assert is_hidden(document)
    assert types >= {
        "failure_decided",
        "packet_confirmed",
        "packet_conflicted",
        "packet_decided",
        "packet_duplicated",
        "packet_held",
        "packet_quarantined",
        "packet_received",
        "packet_rejected",
        "staged_refused",
        "work_failed",
    }


def test_somebody_s_own_text_in_the_table_is_hidden_too(busy: Engine) -> None:
    [row] = busy.log.whole.rows(until=1)
    tampered = [*row]
    tampered[COLUMNS.index("document")] = "Robin {"
    assert "Robin" not in str(redaction.row(tuple(tampered)))
    tampered[COLUMNS.index("type")] = "packet_quarantined"
    tampered[COLUMNS.index("facts")] = "no JSON"
    assert redaction.row(tuple(tampered))[COLUMNS.index("facts")] == "no JSON"


def _leaves(value: Any, numbers: Iterator[int], said: list[str]) -> Any:
    """The value with a mark of its own in every text in it; what is marked is noted."""
    if isinstance(value, list):
        return [_leaves(item, numbers, said) for item in value]
    if isinstance(value, dict):
        return {key: _leaves(item, numbers, said) for key, item in value.items()}
    if not isinstance(value, str) or not value.strip():
        return value
    said.append(f"Zq{next(numbers)}x{value}")
    return said[-1]


def marked(document: dict[str, Any], numbers: Iterator[int]) -> tuple[dict[str, Any], list[str]]:
    """A document with a mark in all that is personal in it, and the values with their marks."""
    said: list[str] = []
    after = {**document, "header": dict(document["header"]), "body": dict(document["body"])}
    places = [(after["body"], name) for name in after["body"] if is_personal(document["type"], name)]
    places += [(after["header"], name) for name in ("client_state", "client_json", "site_note")]
    places += [(after, "links")]
    for place, name in places:
        if name in place:
            place[name] = _leaves(place[name], numbers, said)
    return after, said


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(packets(site="NCSA").map(lambda packet: packet.as_dict()) | documents(), min_size=1, max_size=4)
)
def test_whatever_is_personal_occurs_nowhere_in_a_redacted_export(found: list[dict[str, Any]]) -> None:
    numbers = count(1000)
    personal: list[str] = []
    in_bodies: list[str] = []
    ids: set[str] = set()
    with Engine("sqlite://", site="NCSA", clock=Clock()) as engine:
        for document in found:
            told, said = marked(document, numbers)
            # Each is a packet of its own: what comes again under an id is not always kept.
            told["header"] |= {
                name: next(numbers)
                for name in ("packet_rec_id", "trans_rec_id")
                if told["header"].get(name) is not None
            }
            personal += said
            outcome = engine.receive(told)
            body = "\n".join(_texts(told["body"]))
            in_bodies += [value for value in said if value in body]
            ids |= {name for name in (outcome.packet_rec_id, outcome.trans_rec_id) if name is not None}
        whole, hidden = io.BytesIO(), io.BytesIO()
        export(engine.database, whole)
        export(engine.database, hidden, redact=True)
    lines = [json.loads(line) for line in hidden.getvalue().splitlines()]
    text = "\n".join(_texts(lines))
    assert [value for value in personal if value in text] == []
    assert "Zq1" not in hidden.getvalue().decode("ascii")
    assert all(value in text for value in ids)
    # They were all in the log. What differs only in the notes of a header is the same packet once more.
    kept = "\n".join(_texts([json.loads(line) for line in whole.getvalue().splitlines()]))
    assert [value for value in in_bodies if value not in kept] == []


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, also within texts that hold JSON or base64."""
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            if key == "base64" and not PSEUDONYM.fullmatch(item):
                item = base64.b64decode(item).decode("utf-8", "replace")
            if key in ("facts", "document", "base64") and isinstance(item, str):
                with suppress(ValueError):
                    item = json.loads(item)
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def test_nothing_of_a_sample_is_left_that_a_reader_would_know(engine: Engine, tmp_path: Path) -> None:
    """A packet as it really comes."""
    packet = sample("spec/request_project_create")
    engine.receive(packet)
    [row] = redacted(engine.database, tmp_path)
    body = packet["body"]
    for name in ("PiEmail", "PiLastName", "PiFirstName", "PiStreetAddress", "PiBusinessPhoneNumber"):
        assert body[name]
        assert body[name] not in json.dumps(row)
    for name in ("GrantNumber", "PiGlobalID", "ProjectTitle", "PiOrganization", "StartDate"):
        assert body[name] in json.dumps(row)
