"""What endpoints with the template `cloudevents` are sent are CloudEvents, and a desk can acknowledge by them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from services.notifier.deliveries.service.worker import DeliveryWorker
from shared.contracts.notifier import AlertAcknowledged
from tests.conftest import StartService
from tests.support.alerting import (
    LOCAL,
    NOTIFIER,
    act,
    alerts_of,
    closed,
    elevated,
    emptied,
    escalated,
    loop_back,
    ok,
    registered,
)
from tests.support.harness import RunningService
from tests.support.receiver import Receiver, Request

TEAM = "customer.om_team"


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("notifier", **LOCAL) as started:
        yield started


@pytest.fixture
async def s(service: RunningService) -> RunningService:
    service = await emptied(service, datetime.now(UTC))
    service.kernel.workers[:] = [DeliveryWorker(service.kernel.database, service.app.state.delivery_tools)]
    return service


def event_in(request: Request) -> CloudEvent:
    """The event of a webhook as the reference library reads it; it refuses what is none."""
    message = HTTPMessage(dict(request.headers), request.body)
    event = from_structured(message, JSONFormat(), CloudEvent)
    assert isinstance(event, CloudEvent)
    return event


async def test_the_test_message_is_a_cloudevent(s: RunningService) -> None:
    async with Receiver() as receiver:
        endpoint = await registered(s, receiver.url())
        delivery = ok(await s.post(TEAM, f"{NOTIFIER}/endpoints/{endpoint['id']}/test"), 202)
        await s.drain()
    event = event_in(receiver.requests[0])
    assert event.get_id() == delivery["event_id"]
    assert event.get_type() == delivery["event_type"] == "org.concordat.notifier.test.v1"
    assert (event.get_source(), event.get_subject()) == ("/services/notifier", endpoint["id"])
    assert event.get_data() == {"endpoint_id": endpoint["id"], "name": "Ticket desk"}
    assert event.get_extension("alertid") is None, "it stands for no alert"


async def test_the_preview_is_a_cloudevent(s: RunningService) -> None:
    await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    for form, alert_id in (({}, None), ({"alert_id": alert["id"]}, alert["id"])):
        shown = ok(await s.post(TEAM, f"{NOTIFIER}/templates/cloudevents/render", form))
        event = JSONFormat().read(CloudEvent, orjson.dumps(shown["body"]))
        assert event.get_extension("alertid") == alert_id


async def test_an_event_names_the_alert_of_whom_it_is_sent_to(s: RunningService) -> None:
    async with Receiver() as receiver, Receiver() as providers:
        await registered(s, receiver.url())
        await registered(s, providers.url(), "provider.om_team")
        escalation_id = await escalated(s)
        await elevated(s, escalation_id)
        await closed(s, escalation_id)
        await s.drain()
    for member, requests in ((TEAM, receiver.requests), ("provider.om_team", providers.requests)):
        (alert,) = await alerts_of(s, member)
        events = [event_in(request) for request in requests]
        assert {event.get_extension("alertid") for event in events} == {alert["id"]}
        assert len({event.get_id() for event in events}) == 3


async def test_a_desk_acknowledges_by_what_it_was_sent_and_is_sent_that_too(s: RunningService) -> None:
    async with Receiver() as receiver:
        await registered(s, receiver.url())
        await escalated(s)
        await s.drain()
        alert_id = event_in(receiver.requests[0]).get_extension("alertid")
        read: dict[str, Any] = ok(await s.get(TEAM, f"{NOTIFIER}/alerts/{alert_id}"))
        ok(await act(s, read, "alerts", "acknowledge", {"note": "INC-12"}))
        await loop_back(s, AlertAcknowledged)
        await s.drain()
    event = event_in(receiver.requests[1])
    assert (event.get_type(), event.get_extension("alertid")) == (AlertAcknowledged.TYPE, alert_id)
