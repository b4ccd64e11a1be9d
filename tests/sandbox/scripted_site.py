"""A site that answers every packet of the hub's with made-up results, over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

SAMPLES = Path(__file__).parent.parent / "data" / "samples"
KEY = "key-for-tests"

Document = dict[str, Any]


def sample(name: str) -> Document:
    """A document of tests/data/samples."""
    document: Document = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return document


def success() -> Document:
    return {
        "type": "inform_transaction_complete",
        "body": {"StatusCode": "Success", "DetailCode": "1", "Message": "done"},
    }


def failure() -> Document:
    return {
        "type": "inform_transaction_complete",
        "body": {"StatusCode": "Failure", "DetailCode": "2", "Message": "no"},
    }


def reply_to(packet: Document) -> Document | None:
    """The shortest reply that the service takes, or None where a packet wants none."""
    body = packet["body"]
    match packet["type"]:
        case "request_project_create":
            login = next(filter(None, body["PiRequestedLoginList"]))
            ids = {"ProjectID": f"p-{body['GrantNumber']}", "PiPersonID": f"id-{body['PiGlobalID']}"}
            return {"type": "notify_project_create", "body": {**ids, "PiRemoteSiteLogin": login}}
        case "request_account_create":
            login = next(filter(None, body["UserRequestedLoginList"]))
            ids = {"ProjectID": f"p-{body['GrantNumber']}", "UserPersonID": f"id-{body['UserGlobalID']}"}
            return {"type": "notify_account_create", "body": {**ids, "UserRemoteSiteLogin": login}}
        case "request_account_reactivate":
            ids = {name: body[name] for name in ("ProjectID", "PersonID")}
            return {"type": "notify_account_reactivate", "body": ids}
        case (
            "request_project_inactivate" | "request_project_reactivate" | "request_account_inactivate"
        ) as request:
            return {"type": request.replace("request", "notify"), "body": {}}
        case "inform_transaction_complete":
            return None
        case _:
            return success()


class ScriptedSite:
    """The site's end of the service's calls, and a loop that answers everything."""

    def __init__(self, url: str, site: str = "NCSA", key: str = KEY) -> None:
        self.url = url
        self.site = site
        self.session = requests.Session()
        self.session.headers.update({"XA-SITE": site, "XA-API-KEY": key})

    def __enter__(self) -> ScriptedSite:
        return self

    def __exit__(self, *error: object) -> None:
        self.session.close()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.url + path.format(site=self.site), timeout=10, **options)

    def packets(self, **query: str) -> list[Document]:
        response = self.call("GET", "packets/{site}", params=query)
        assert response.status_code == 200, response.text
        listed: list[Document] = response.json()["result"]
        return listed

    def start(self, scenario: str) -> None:
        response = self.call("POST", "test/{site}/scenarios", params={"type": scenario})
        assert response.json() == {"message": "Test scenario initiated", "result": None}

    def send(self, document: Document, in_reply_to: int | None = None) -> requests.Response:
        header = {**document.get("header", {}), "in_reply_to": in_reply_to}
        return self.call("POST", "packets/{site}", json={**document, "header": header})

    def transaction(self, trans_rec_id: int) -> Document:
        response = self.call("GET", f"transactions/{{site}}/{trans_rec_id}/packets")
        result: Document = response.json()["result"]
        return result

    def work(self, answer: Callable[[Document], Document | None] = reply_to) -> list[Document]:
        """Answer what is listed until nothing more comes; return every packet of the hub's, once."""
        seen: dict[int, Document] = {}
        while packets := self.packets(incoming="true"):
            for packet in packets:
                number = packet["header"]["packet_rec_id"]
                assert number not in seen, "answered, and listed again"
                seen[number] = packet
                reply = answer(packet)
                if reply is not None:
                    response = self.send(reply, number)
                    assert response.status_code == 200, response.text
        return list(seen.values())
