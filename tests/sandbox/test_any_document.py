"""Whatever a site posts, the hub takes it or refuses it, and goes on."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from amie_engine.errors import SandboxRefusal
from amie_engine.packet import Packet
from amie_engine.protocol import TRANSACTION_TYPES, Party
from amie_engine.sandbox import REQUEST_TYPES, Sandbox

from .scripted_site import reply_to

NOTICES = [name for name, kind in TRANSACTION_TYPES.items() if kind.originator is Party.SITE]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def bodies(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """A body with the items of a packet type, in which most values are of the right form."""
    right: dict[str, st.SearchStrategy[Any]] = {
        "text": st.sampled_from(["1", "p1", "u1", "add", "Success"]),
        "date": st.just("2026-01-15"),
        "datetime": st.just("2026-01-15T12:00:00Z"),
        "amount": st.just("-1.5"),
        "list": st.lists(st.sampled_from(["delta.ncsa.access-ci.org", "/CN=one"]), min_size=1, max_size=1),
        "objects": st.lists(
            st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2), max_size=2
        ),
    }
    fields = Packet._find_packet_type(kind)._fields
    body = {}
    for name, field in fields.items():
        if field.originating_required or draw(st.booleans()):
            body[name] = draw(right[field.kind])
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=1)):
        body[name] = draw(json_values)
    return body


@st.composite
def notices(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([*NOTICES, "inform_transaction_complete"]))
    return {"type": kind, "body": draw(bodies(kind))}


documents = notices() | st.fixed_dictionaries(
    {}, optional={"type": json_values, "header": json_values, "body": json_values}
)


def refusal_of(sandbox: Sandbox, document: dict[str, Any], number: int | None) -> SandboxRefusal | None:
    try:
        sandbox.post(document, number)
    except SandboxRefusal as refusal:
        return refusal
    return None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(documents, max_size=4), st.lists(st.sampled_from(REQUEST_TYPES), max_size=2))
def test_the_hub_takes_or_refuses_any_document_and_goes_on(
    posted: list[dict[str, Any]], singles: list[str]
) -> None:
    sandbox = Sandbox()
    for kind in singles:
        sandbox.start_scenario(f"single:{kind}")
    for document in posted:
        for number in [None, *(packet["header"]["packet_rec_id"] for packet in sandbox.list_packets())]:
            refusal = refusal_of(sandbox, document, number)
            assert refusal is None or (400 <= refusal.status < 500 and refusal.message)
    for scenario in (
        "single:request_account_create",
        "single:request_user_modify",
        "single:request_person_merge",
    ):
        sandbox.start_scenario(scenario)
    while packets := sandbox.list_packets():
        for packet in packets:
            json.dumps(packet, allow_nan=False)
            Packet.from_dict(packet)
            reply = reply_to(packet) if packet["header"]["outgoing_flag"] else None
            if (
                reply is not None
                and refusal_of(sandbox, reply, packet["header"]["packet_rec_id"]) is not None
            ):
                sandbox.fail(packet["header"]["trans_rec_id"])
    assert sandbox.idle
