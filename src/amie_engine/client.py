"""The client of the AMIE REST API.

Its names, parameters and meanings are those that the public AMIE client documents; what it adds are
timeouts, further attempts, errors by kind, and care for the key.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from random import random as random_fraction
from typing import Any, Self

import requests

from amie_engine._answers import Redaction
from amie_engine._arguments import (
    comma_list,
    flag,
    header_text,
    json_again,
    json_text,
    path_segment,
    record_id,
    service_url,
    time_range,
    timeouts,
)
from amie_engine._transport import RetryPolicy, Transport, UnredirectedSession
from amie_engine.errors import AMIERequestError, PacketError, PacketInvalidData
from amie_engine.packet.base import Packet
from amie_engine.packet.outgoing import outgoing_document
from amie_engine.packet.packetlist import PacketList
from amie_engine.transaction import Transaction

__all__ = ["DEFAULT_URL", "AMIEClient", "AMIERequestError", "RetryPolicy"]

DEFAULT_URL = "https://amieclient.xsede.org/v0.10/"

Ids = Iterable[int | str] | int | str


def _utc_now() -> datetime:
    return datetime.now(UTC)


class AMIEClient:
    """A site's connection to the AMIE service. A context manager: leaving it closes the connections.

    Calls that may be repeated without harm (all but ``send_packet``, ``start_scenario`` and ``reset``) are
    tried again after a failure that may pass, unless the service asks for a longer wait than ``retry`` has:
    then the error tells it, in ``retry_after``. Redirects are not followed, since the key would go along.

    Args:
        site_name: The site's name at the service.
        api_key: The site's API key. It is in no repr, log line or exception.
        amie_url: The service's base URL. A user's name and password in it are taken out and sent as basic
            authentication.
        timeout: Seconds to wait for a connection, and for the next part of an answer; one number for both.
        retry: How often and when to try again.
        sleep: Waits for so many seconds.
        random: Gives a random number from 0 to 1.
        clock: Gives the time, with its zone.

    Raises:
        SettingsError: The name or the key is empty or can't be sent in a header, the URL is no http or https
            URL, or a timeout is not positive.

    Every call raises ``AMIERequestError``, or the class below it that says more:

    - ``ServiceUnreachable``: no connection, a timeout, or an answer that was cut off;
    - ``ServiceAuthenticationError``, ``ServiceNotFound``, ``ServiceConflict``, ``ServiceValidationError``,
      ``ServiceRateLimited``, ``ServiceFault``: by the status of the answer, with the service's message;
    - ``ServiceUnreadableAnswer``: an answer that is not the API's, from a proxy or a login page, say;

    and ``PacketInvalidData`` for an argument that can't be sent.

    Source: the public behaviour of the AMIE REST API v0.10; the public client's documentation.
    """

    def __init__(
        self,
        site_name: str,
        api_key: str,
        amie_url: str = DEFAULT_URL,
        *,
        timeout: tuple[float, float] | float = (10.0, 60.0),
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 # it is immutable
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random_fraction,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.site_name = header_text(site_name, "site's name")
        key = header_text(api_key, "API key")
        self.amie_url, login = service_url(amie_url)
        self._site = path_segment(self.site_name, "site's name")
        self.timeout = timeouts(timeout)
        """Seconds to wait for a connection, and for the next part of an answer."""
        self._session: requests.Session = UnredirectedSession()
        self._session.headers.update(
            {"XA-API-KEY": key, "XA-SITE": self.site_name, "Accept": "application/json"}
        )
        self._session.auth = login
        self._transport = Transport(
            self._session,
            self.amie_url,
            Redaction(key, login[1] if login else ""),
            timeout=self.timeout,
            retry=retry,
            sleep=sleep,
            random=random,
            clock=clock,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<AMIEClient of {self.site_name} at {self.amie_url}>"

    def close(self) -> None:
        """Close the connections. The client may be used again: it opens new ones."""
        self._session.close()

    def stoppable(self, is_stopped: Callable[[], bool]) -> Self:
        """Return a client like this one, over the same connections, whose waits between two attempts can be
        ended: for a loop that has to stop in time.

        Args:
            is_stopped: Asked before each second of a wait, in the thread that waits. Once it says so, the
                call raises what went wrong in the attempt before.
        """
        made = copy.copy(self)
        made._transport = self._transport.stoppable(is_stopped)
        return made

    # Packets

    def get_packet(self, packet_rec_id: Packet | int | str) -> Packet:
        """Return one packet, by its record id.

        Raises:
            ServiceNotFound: The service has no such packet of the site's.
            PacketInvalidData: The service's document is no packet.
            PacketInvalidType: It is a packet of a type that AMIE does not name.
        """
        answer = self._transport.call("GET", self._packet_path(packet_rec_id))
        result = answer.result()
        if not isinstance(result, dict):
            raise answer.unreadable("its result is no packet")
        return Packet.from_dict(result)

    def list_packets(
        self,
        *,
        trans_rec_ids: Ids | None = None,
        outgoing: bool | None = None,
        update_time_start: datetime | None = None,
        update_time_until: datetime | None = None,
        states: Ids | None = None,
        client_states: Ids | None = None,
        transaction_states: Ids | None = None,
        incoming: bool | None = None,
    ) -> PacketList:
        """Return the site's packets; without arguments, those that are in progress.

        Documents that are no packets are kept apart, in ``unreadable``.

        Args:
            trans_rec_ids: Only packets of these transactions, by the service's record ids.
            outgoing: True: only packets that the service calls outgoing.
            update_time_start: Only packets changed since then; with its zone.
            update_time_until: Only packets changed before then; with its zone.
            states: Only packets in these states.
            client_states: Only packets on which the site has noted one of these states.
            transaction_states: Only packets of transactions in these states.
            incoming: True: only packets that the service calls incoming.

        An empty list is as None: it restricts nothing.

        Raises:
            PacketInvalidData: A time has no zone, or an argument is not of its type.
        """
        query = {
            "trans_rec_id": comma_list(trans_rec_ids, "trans_rec_ids"),
            "outgoing": flag(outgoing, "outgoing"),
            "update_time": time_range(update_time_start, update_time_until),
            "states": comma_list(states, "states"),
            "client_state": comma_list(client_states, "client_states"),
            "transaction_state": comma_list(transaction_states, "transaction_states"),
            "incoming": flag(incoming, "incoming"),
        }
        given = {name: value for name, value in query.items() if value is not None}
        answer = self._transport.call("GET", f"packets/{self._site}", query=given)
        try:
            return PacketList.from_dict(answer.document)
        except PacketError:
            unreadable = answer.unreadable("it is no list of packets")
        raise unreadable

    def send_packet(self, packet: Packet, skip_validation: bool = False) -> requests.Response:
        """Send a packet, once, and return the service's response.

        What goes out is ``packet.outgoing.outgoing_document``: tidied text, no empty optional values.

        Args:
            packet: The packet.
            skip_validation: Send it even if ``packet.validate_data`` finds something missing.

        Raises:
            PacketInvalidData: The packet is not valid, or has a value that is no JSON.
            ServiceUnreachable, ServiceFault, ServiceUnreadableAnswer: Whether the packet has arrived is not
                known: look (``list_packets``) before sending it again.
        """
        if not skip_validation:
            packet.validate_data(raise_on_invalid=True)
        content = json_text(outgoing_document(packet), f"{packet!r} has a value that is no JSON.")
        return self._transport.call("POST", f"packets/{self._site}", content=content).acknowledged()

    def set_packet_client_state(self, packet_or_id: Packet | int | str, state: str) -> requests.Response:
        """Note a state of the site's own on a packet, kept by the service."""
        path = f"{self._packet_path(packet_or_id)}/client_state/{path_segment(state, 'client state')}"
        return self._transport.call("PUT", path).acknowledged()

    def clear_packet_client_state(self, packet_or_id: Packet | int | str) -> requests.Response:
        """Remove the site's own state from a packet."""
        return self._transport.call(
            "DELETE", f"{self._packet_path(packet_or_id)}/client_state"
        ).acknowledged()

    def set_packet_client_json(self, packet_or_id: Packet | int | str, client_json: Any) -> requests.Response:
        """Keep a JSON document of the site's own with a packet, at the service.

        Args:
            packet_or_id: The packet, or its record id.
            client_json: Anything that ``json.dumps`` takes, or JSON text.

        Raises:
            PacketInvalidData: It is text that is no JSON, or a value that JSON has no form for.
        """
        wrong = "The client_json is no JSON."
        as_text = json_again if isinstance(client_json, str | bytes) else json_text
        path = f"{self._packet_path(packet_or_id)}/client_json"
        return self._transport.call("PUT", path, content=as_text(client_json, wrong)).acknowledged()

    def clear_packet_client_json(self, packet_or_id: Packet | int | str) -> requests.Response:
        """Remove the site's own JSON document from a packet."""
        return self._transport.call("DELETE", f"{self._packet_path(packet_or_id)}/client_json").acknowledged()

    # Transactions

    def get_transaction(self, transaction_or_id: Transaction | Packet | int | str) -> Transaction:
        """Return a transaction with all its packets.

        Args:
            transaction_or_id: The transaction, a packet of it, or the service's record id of it.

        Raises:
            ServiceNotFound: The service has no such transaction of the site's.
        """
        answer = self._transport.call("GET", f"{self._transaction_path(transaction_or_id)}/packets")
        try:
            transaction = Transaction.from_dict(answer.result())
        except PacketError:
            unreadable = answer.unreadable("its result is no transaction")
        else:
            if transaction.trans_rec_id is None:
                with suppress(PacketInvalidData):  # what was asked for need not be a number
                    transaction.trans_rec_id = record_id(transaction_or_id, "trans_rec_id")
            return transaction
        raise unreadable

    def set_transaction_failed(
        self, transaction_or_id: Transaction | Packet | int | str
    ) -> requests.Response:
        """Fail a transaction at the service.

        Args:
            transaction_or_id: The transaction, a packet of it, or the service's record id of it.
        """
        path = f"{self._transaction_path(transaction_or_id)}/state/failed"
        return self._transport.call("PUT", path).acknowledged()

    # The test service

    def start_scenario(self, scenario: str) -> str:
        """Start a test scenario, once, and return what the service says. The test service only.

        Args:
            scenario: Its name: ``request_project_reactivate``, say.

        Source: "AMIE API Testing".
        """
        answer = self._transport.call("POST", f"test/{self._site}/scenarios", query={"type": scenario})
        answer.acknowledged()
        return answer.message()

    def reset(self) -> str:
        """Drop the site's data, and return what the service says. The test service only.

        Source: "AMIE API Testing".
        """
        answer = self._transport.call("POST", f"test/{self._site}/reset")
        answer.acknowledged()
        return answer.message()

    def _packet_path(self, packet_or_id: Packet | int | str) -> str:
        packet_rec_id = record_id(packet_or_id, "packet_rec_id")
        return f"packets/{self._site}/{path_segment(packet_rec_id, 'packet_rec_id')}"

    def _transaction_path(self, transaction_or_id: Transaction | Packet | int | str) -> str:
        trans_rec_id = record_id(transaction_or_id, "trans_rec_id")
        return f"transactions/{self._site}/{path_segment(trans_rec_id, 'trans_rec_id')}"
