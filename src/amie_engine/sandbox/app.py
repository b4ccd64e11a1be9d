"""The sandbox as a FastAPI application: the calls of the AMIE REST API v0.10, and their OpenAPI document."""

from __future__ import annotations

import json
from typing import Annotated, Any

from amie_engine.errors import DependencyMissing, SandboxRefusal
from amie_engine.packet.jsonvalue import parse_json
from amie_engine.sandbox.hub import Sandbox
from amie_engine.sandbox.listing import PacketQuery
from amie_engine.sandbox.mishaps import IS_COPY

try:
    from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request, Security
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from fastapi.security import APIKeyHeader
    from pydantic import BaseModel, Field
    from starlette.exceptions import HTTPException as StarletteHTTPException
    from starlette.requests import ClientDisconnect
    from starlette.types import ASGIApp, Receive, Scope, Send
except ImportError as error:
    raise DependencyMissing(
        "The sandbox's service needs FastAPI and uvicorn, which are not installed.",
        hint="Install them: pip install 'amie-engine[sandbox]'.",
    ) from error

__all__ = ["BASE_PATH", "MAXIMUM_BODY", "create_app"]

BASE_PATH = "/v0.10"
"""The path of the API's version, under which every call is."""

_PACKETS = BASE_PATH + "/packets/{site}"
_TRANSACTION = BASE_PATH + "/transactions/{site}/{trans_rec_id}"
_TEST = BASE_PATH + "/test/{site}"

_SANDBOX = "amie_engine.sandbox"
"""Where a call carries the sandbox that it is for."""

MAXIMUM_BODY = 1024 * 1024
"""Bytes that the body of a call may have; a longer one is answered with 413."""

_DESCRIPTION = """An AMIE service to try a site's software against: made-up people and projects, the official
test scenarios, and no connection to any real allocation. Every call carries the headers `XA-SITE` and
`XA-API-KEY`. An error's body is always `{"message": ...}`."""

_TAGS = [
    {"name": "packets", "description": "Receive and send packets, and keep notes on them."},
    {"name": "transactions", "description": "Look at a transaction, or fail it."},
    {"name": "test", "description": "Start test scenarios, and clear the test data."},
]


class PacketBody(BaseModel):
    """A packet to send."""

    type: str = Field(description="AMIE's name of the packet's type.", examples=["notify_project_create"])
    header: dict[str, Any] | None = Field(
        None, description="A reply names in `in_reply_to` the packet_rec_id of the packet that it answers."
    )
    body: dict[str, Any] = Field(description="The packet's items by their AMIE names.")


class Answer(BaseModel):
    """What every call that succeeds answers with."""

    message: str | None = Field(description="What the service has to say.")
    result: Any = Field(description="A packet, a list of packets, a transaction, or null.")


class Failure(BaseModel):
    """What every call that fails answers with."""

    message: str = Field(description="What is wrong.")


class _Json(JSONResponse):
    """JSON in ASCII: text from a site may hold what has no form in UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def _answer(result: Any = None, message: str | None = None) -> _Json:
    return _Json({"message": message, "result": result})


_site_name = APIKeyHeader(
    name="XA-SITE", scheme_name="site", description="The site's name.", auto_error=False
)
_api_key = APIKeyHeader(name="XA-API-KEY", scheme_name="key", description="The site's key.", auto_error=False)

_SitePath = Annotated[str, Path(description="The site's name, as in the header XA-SITE.")]


async def _authenticated(
    request: Request,
    site: _SitePath,
    site_name: Annotated[str | None, Security(_site_name)],
    api_key: Annotated[str | None, Security(_api_key)],
) -> Sandbox:
    sandbox: Sandbox = request.scope[_SANDBOX]
    if not sandbox.knows(site_name, api_key):
        raise HTTPException(401, "The headers XA-SITE and XA-API-KEY do not name a site and its key.")
    if site != sandbox.site:
        raise HTTPException(403, f"The data of another site is not for {sandbox.site}.")
    return sandbox


async def _document(request: Request) -> Any:
    """The JSON document in a call's body."""
    size, chunks = 0, []
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= MAXIMUM_BODY:  # the rest is read all the same, so that the client gets to the answer
                chunks.append(chunk)
    except ClientDisconnect:
        raise HTTPException(400, "The body was cut off.") from None
    if size > MAXIMUM_BODY:
        raise HTTPException(413, f"The body has more than {MAXIMUM_BODY} bytes.")
    try:
        return parse_json(b"".join(chunks))
    except ValueError:
        raise HTTPException(400, "The body is no JSON document.") from None


async def _is_copy(request: Request) -> bool:
    return IS_COPY in request.scope


_Hub = Annotated[Sandbox, Depends(_authenticated)]
_Document = Annotated[Any, Depends(_document)]
_IsCopy = Annotated[bool, Depends(_is_copy)]
_Id = Path(pattern="^[0-9]{1,38}$", description="A record id: up to 38 digits.")
_PacketId = Annotated[str, _Id]
_TransactionId = Annotated[str, _Id]


def _takes(schema: dict[str, Any]) -> dict[str, Any]:
    """The part of the OpenAPI document that says what a call's body is."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": description}
    for status, description in {
        400: "The packet or the query is not valid",
        401: "The site's name or key is missing or wrong",
        403: "The data is another site's",
        404: "There is no such packet or transaction",
        409: "The state of the packet or the transaction does not allow it",
        413: "The body is too long",
        422: "A parameter is not of its form",
    }.items()
}


async def _on_refusal(request: Request, error: SandboxRefusal) -> _Json:
    return _Json({"message": error.message}, error.status)


async def _on_http_error(request: Request, error: StarletteHTTPException) -> _Json:
    return _Json({"message": str(error.detail)}, error.status_code, headers=dict(error.headers or {}))


async def _on_invalid_call(request: Request, error: RequestValidationError) -> _Json:
    problems = [f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors()]
    return _Json({"message": f"The call is not valid: {'; '.join(problems)}."}, 422)


async def _on_fault(request: Request, error: Exception) -> _Json:
    return _Json({"message": "The sandbox failed: this is a fault of its own."}, 500)


_app = FastAPI(
    title="AMIE sandbox",
    version="0.10",
    description=_DESCRIPTION,
    openapi_tags=_TAGS,
    redoc_url=None,
    redirect_slashes=False,
    responses={200: {"model": Answer}, **_FAILURES},
    exception_handlers={
        SandboxRefusal: _on_refusal,
        StarletteHTTPException: _on_http_error,
        RequestValidationError: _on_invalid_call,
        Exception: _on_fault,
    },
)
"""One for all sandboxes: making it takes longer than a hundred calls. Each call tells whose it is."""


@_app.get(_PACKETS, tags=["packets"], summary="List packets")
async def list_packets(
    hub: _Hub,
    trans_rec_id: Annotated[
        str | None, Query(description="Transaction record ids, joined by commas.")
    ] = None,
    outgoing: Annotated[str | None, Query(description="True: only what the site sent.")] = None,
    incoming: Annotated[str | None, Query(description="True: only what the hub sent.")] = None,
    update_time: Annotated[
        str | None, Query(description="start,end in ISO 8601, either may be empty: when states changed last.")
    ] = None,
    states: Annotated[str | None, Query(description="Packet states, joined by commas.")] = None,
    client_state: Annotated[str | None, Query(description="Client states, joined by commas.")] = None,
    transaction_state: Annotated[
        str | None, Query(description="Transaction states, joined by commas.")
    ] = None,
) -> _Json:
    """The packets that fit every parameter, the oldest first. Those in progress only, unless `states`,
    `transaction_state` or `trans_rec_id` is given."""
    query = PacketQuery.parse(
        trans_rec_id=trans_rec_id,
        outgoing=outgoing,
        incoming=incoming,
        update_time=update_time,
        states=states,
        client_state=client_state,
        transaction_state=transaction_state,
    )
    return _answer(hub.list_packets(query))


@_app.get(_PACKETS + "/{packet_rec_id}", tags=["packets"], summary="Get a packet")
async def get_packet(hub: _Hub, packet_rec_id: _PacketId) -> _Json:
    """One packet, whatever its state."""
    return _answer(hub.packet(int(packet_rec_id)))


@_app.post(
    _PACKETS,
    tags=["packets"],
    summary="Send a packet",
    openapi_extra=_takes(PacketBody.model_json_schema()),
)
async def send_packet(hub: _Hub, document: _Document, is_copy: _IsCopy) -> _Json:
    """A reply, which names what it answers in its header's `in_reply_to`, or the first packet of a
    transaction that the site begins. Answers with the packet and the ids that it was given."""
    return _answer(hub.post(document, is_copy=is_copy), "Packet accepted")


@_app.post(
    _PACKETS + "/{packet_rec_id}/reply",
    tags=["packets"],
    summary="Reply to a packet",
    openapi_extra=_takes(PacketBody.model_json_schema()),
)
async def reply_to_packet(
    hub: _Hub, packet_rec_id: _PacketId, document: _Document, is_copy: _IsCopy
) -> _Json:
    """As sending a packet; the document needs no header."""
    hub.packet(int(packet_rec_id))
    packet = hub.post(document, in_reply_to=int(packet_rec_id), is_copy=is_copy)
    return _answer(packet, "Packet accepted")


@_app.put(
    _PACKETS + "/{packet_rec_id}/client_state/{state}", tags=["packets"], summary="Set the client state"
)
async def set_client_state(hub: _Hub, packet_rec_id: _PacketId, state: str) -> _Json:
    """Keep the site's own note on a packet."""
    hub.set_client_state(int(packet_rec_id), state)
    return _answer(message="Client state set")


@_app.delete(_PACKETS + "/{packet_rec_id}/client_state", tags=["packets"], summary="Clear the client state")
async def clear_client_state(hub: _Hub, packet_rec_id: _PacketId) -> _Json:
    """Drop the site's own note on a packet."""
    hub.set_client_state(int(packet_rec_id), None)
    return _answer(message="Client state cleared")


@_app.put(
    _PACKETS + "/{packet_rec_id}/client_json",
    tags=["packets"],
    summary="Set the client JSON",
    openapi_extra=_takes({"description": "Any JSON document."}),
)
async def set_client_json(hub: _Hub, packet_rec_id: _PacketId, document: _Document) -> _Json:
    """Keep a JSON document of the site's on a packet."""
    hub.set_client_json(int(packet_rec_id), document)
    return _answer(message="Client JSON set")


@_app.delete(_PACKETS + "/{packet_rec_id}/client_json", tags=["packets"], summary="Clear the client JSON")
async def clear_client_json(hub: _Hub, packet_rec_id: _PacketId) -> _Json:
    """Drop the site's JSON document on a packet."""
    hub.set_client_json(int(packet_rec_id), None)
    return _answer(message="Client JSON cleared")


@_app.get(_TRANSACTION + "/packets", tags=["transactions"], summary="Get a transaction")
async def get_transaction(hub: _Hub, trans_rec_id: _TransactionId) -> _Json:
    """A transaction with all its packets, whatever their state."""
    return _answer(hub.transaction(int(trans_rec_id)))


@_app.put(_TRANSACTION + "/state/failed", tags=["transactions"], summary="Fail a transaction")
async def fail_transaction(hub: _Hub, trans_rec_id: _TransactionId) -> _Json:
    """Fail a transaction that is in progress; one that has failed stays so."""
    hub.fail(int(trans_rec_id))
    return _answer(message="Transaction failed")


@_app.post(_TEST + "/scenarios", tags=["test"], summary="Start a test scenario")
async def start_scenario(
    hub: _Hub,
    scenario: Annotated[
        str,
        Query(
            alias="type",
            description="An official scenario, or the packet type of a single request; `single:` before a"
            " type that is also a scenario's name asks for the single request.",
        ),
    ],
) -> _Json:
    """The scenario's first requests appear in the list of packets, the next ones as the transactions before
    them complete."""
    hub.start_scenario(scenario)
    return _answer(message="Test scenario initiated")


@_app.post(_TEST + "/reset", tags=["test"], summary="Clear the test data")
async def reset(hub: _Hub) -> _Json:
    """Drop all of the site's transactions and scenarios, and what the hub learned from them."""
    hub.reset()
    return _answer(message=f"Reset site data for {hub.site}")


def create_app(sandbox: Sandbox) -> ASGIApp:
    """Return the ASGI application that serves a sandbox.

    Swagger's page is at ``/docs``, the OpenAPI document at ``/openapi.json``, the calls below ``/v0.10/``.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await _app({**scope, _SANDBOX: sandbox}, receive, send)

    return app
