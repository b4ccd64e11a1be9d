"""What a site may register, and what it is told when it may not."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from amie_engine import Site, Work
from amie_engine.errors import HandlerInvalid
from amie_engine.packet import DataProjectCreate, InformTransactionComplete
from amie_engine.site.handlers import HANDLED_TYPES, handler_name


def _handler(packet: Any, work: Work) -> Any:
    return work.reply


def test_the_types_that_a_site_handles_are_the_requests_and_the_data_packets() -> None:
    requests = {name for name in HANDLED_TYPES if name.startswith("request_")}
    assert len(requests) == 8
    assert HANDLED_TYPES - requests == {"data_project_create", "data_account_create"}


def test_one_handler_may_answer_several_types() -> None:
    site = Site("NCSA")
    assert site.handles("request_user_modify", "request_person_merge")(_handler) is _handler
    assert site.handler_for("request_user_modify") is site.handler_for("request_person_merge") is _handler
    assert site.handler_for("request_project_create") is None
    assert repr(site) == "<Site NCSA, 2 handlers>"


@pytest.mark.parametrize(
    ("types", "told"),
    [
        ((), "names no packet type"),
        (("request_project_crate",), "Did you mean request_project_create?"),
        (("notify_project_create",), "No site handles a 'notify_project_create'"),
        (("inform_transaction_complete",), "No site handles"),
        (("request_user_modify", "request_user_modify"), "has a handler for request_user_modify already"),
    ],
)
def test_a_type_that_no_site_answers_is_refused_at_once(types: tuple[str, ...], told: str) -> None:
    with pytest.raises(HandlerInvalid) as caught:
        Site("NCSA").handles(*types)
    assert told in str(caught.value)


def test_a_second_handler_for_a_type_is_refused_even_if_it_was_prepared_before() -> None:
    site = Site("NCSA")
    first, second = site.handles("request_user_modify"), site.handles("request_user_modify")
    first(_handler)
    with pytest.raises(HandlerInvalid, match="already"):
        second(lambda packet, work: None)
    assert site.handler_for("request_user_modify") is _handler


async def _asynchronous(packet: Any, work: Work) -> Any:
    return work.reply


class _AsynchronousObject:
    async def __call__(self, packet: Any, work: Work) -> Any:
        return work.reply


@pytest.mark.parametrize("handler", [_asynchronous, _AsynchronousObject()])
def test_an_asynchronous_handler_is_refused_since_nobody_awaits_it(handler: Any) -> None:
    with pytest.raises(HandlerInvalid, match="asynchronous"):
        Site("NCSA").handles("request_user_modify")(handler)


def test_what_cannot_be_called_is_no_handler() -> None:
    with pytest.raises(HandlerInvalid, match="A str is no handler"):
        Site("NCSA").handles("request_user_modify")("modify")  # type: ignore[type-var]


@pytest.mark.parametrize(
    "handler", [lambda packet: None, lambda packet, work, more: None, lambda *, packet, work: None]
)
def test_one_that_can_not_be_called_with_a_packet_and_its_work_is_refused_at_once(handler: Any) -> None:
    """Else it would fail for a day before anybody had to look."""
    with pytest.raises(HandlerInvalid, match="can't be called with what it is given") as caught:
        Site("NCSA").handles("request_user_modify")(handler)
    assert "(packet, work)" in caught.value.hint


@pytest.mark.parametrize(
    "handler", [lambda *given: None, lambda packet, work, more=1: None, partial(_handler)]
)
def test_one_that_takes_more_is_none_the_worse(handler: Any) -> None:
    site = Site("NCSA")
    site.handles("request_user_modify")(handler)
    assert site.handler_for("request_user_modify") is handler


def test_a_data_packet_without_a_handler_is_confirmed() -> None:
    handler = Site("NCSA").handler_for("data_project_create")
    assert handler is not None
    packet, reply = DataProjectCreate(packet_rec_id=1), InformTransactionComplete()
    assert handler(packet, Work("key", reply, packet, packet, "7")) is reply


def test_a_handler_is_called_by_its_name_or_its_class() -> None:
    assert handler_name(_handler) == "_handler"
    assert handler_name(partial(_handler)) == "partial"
