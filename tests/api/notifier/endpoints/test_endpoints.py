"""Endpoints over HTTP: registered, changed, guarded; their secrets are shown once."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import text

from services.notifier.endpoints.service.vault import new_vault_key
from services.notifier.settings import Settings
from shared.contracts.notifier import EndpointDisabled
from shared.data.history import timeline
from shared.data.ids import uuid7
from tests.conftest import StartService
from tests.support.alerting import (
    LOCAL,
    NOTIFIER,
    act,
    deliveries_of,
    emptied,
    endpoint_now,
    escalated,
    ok,
    problem,
    registered,
    review_due,
)
from tests.support.harness import RunningService
from tests.support.receiver import Receiver, Reply

TEAM = "customer.om_team"
ENDPOINTS = f"{NOTIFIER}/endpoints"
URL = "https://tickets.example.gov/hook"
JIRA = {"template": "jira_issue", "template_options": {"project_key": "OPS"}}


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("notifier", **LOCAL) as started:
        yield started


@pytest.fixture
async def s(service: RunningService) -> RunningService:
    return await emptied(service)


async def test_a_new_endpoint_shows_its_secret_once(s: RunningService) -> None:
    created = await registered(s, URL, authorization="Basic dXNlcjpwYXNz")
    assert created["signing_secret"].startswith("whsec_")
    assert created["secret_last4"] == created["signing_secret"][-4:]
    assert created["has_authorization"]
    read = await s.get(TEAM, f"{ENDPOINTS}/{created['id']}")
    listed = await s.get(TEAM, ENDPOINTS)
    exported = await s.get(TEAM, f"{ENDPOINTS}.csv")
    for answer in (read, listed, exported):
        assert created["signing_secret"] not in answer.text
        assert "dXNlcjpwYXNz" not in answer.text
    assert read.json().keys() == created.keys() - {"signing_secret"}


async def test_the_database_holds_secrets_only_sealed(s: RunningService) -> None:
    created = await registered(s, URL, authorization="Basic dXNlcjpwYXNz")
    async with s.kernel.database.system() as session:
        for table in ("endpoint", "endpoint_secret", "audit", "outbox", "idempotency"):
            rows = (await session.execute(text(f"SELECT t::text FROM {table} t"))).scalars().all()
            stored = "".join(rows)
            assert created["signing_secret"] not in stored, table
            assert created["signing_secret"][6:].encode().hex() not in stored, table
            assert "dXNlcjpwYXNz" not in stored, table


async def test_a_repeated_request_with_a_key_makes_one_endpoint_and_keeps_no_secret(
    s: RunningService,
) -> None:
    body = {"name": "Desk", "url": URL}
    first = await s.post(TEAM, ENDPOINTS, body, key="once")
    await s.post(TEAM, ENDPOINTS, body, key="once")
    assert len(ok(await s.get(TEAM, ENDPOINTS))["items"]) == 1
    async with s.kernel.database.system() as session:
        stored = (await session.execute(text("SELECT convert_from(body, 'UTF8') FROM idempotency"))).scalars()
        assert all(first.json()["signing_secret"] not in (kept or "") for kept in stored)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"url": "http://tickets.example.gov/"}, None),
        ({"url": "http://8.8.8.8/"}, "http_not_allowed"),
        ({"url": "https://10.0.0.1/"}, "address_not_public"),
        ({"url": "https://169.254.169.254/"}, "metadata_address"),
        ({"url": "https://user:pw@example.gov/"}, "bad_url"),
        ({"url": "https://2130706433/"}, "not_an_address"),
        ({"template": "jira_issue"}, "project_key_required"),
        ({"template": "odd"}, "invalid"),
        ({"event_types": ["org.concordat.odd.v1"]}, "invalid"),
        ({"max_in_flight": 0}, "invalid"),
        ({"authorization": "Basic a\r\nX: y"}, "invalid"),
        ({"authorization": ""}, "invalid"),
        ({"url": None}, "invalid"),
        ({"secret": "x"}, "invalid"),
    ],
)
async def test_what_may_be_registered(s: RunningService, changes: dict[str, Any], code: str | None) -> None:
    answer = await s.post(TEAM, ENDPOINTS, {"name": "Desk", "url": URL} | changes)
    assert answer.status_code == (422 if code else 201), answer.text
    assert answer.json().get("code") == code


async def test_a_refused_url_is_pointed_at_and_secrets_are_not_echoed(s: RunningService) -> None:
    answer = await s.post(TEAM, ENDPOINTS, {"name": "Desk", "url": "https://10.0.0.1/"})
    assert answer.json()["errors"][0]["pointer"] == "/url"
    answer = await s.post(TEAM, ENDPOINTS, {"name": "Desk", "url": URL, "authorization": "Basic s3cr3t\n"})
    assert "s3cr3t" not in answer.text


@pytest.mark.parametrize("member", ["provider.om_team", "other.om_team", "observer.om_team"])
async def test_another_organization_finds_no_endpoint(s: RunningService, member: str) -> None:
    created = await registered(s, URL)
    path = f"{ENDPOINTS}/{created['id']}"
    assert problem(await s.get(member, path), 404) == "not_found"
    for verb in ("rotate_secret", "enable", "disable", "test"):
        assert problem(await s.post(member, f"{path}/{verb}", {}, version=1), 404) == "not_found"
    span = {"since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}
    assert problem(await s.post(member, f"{path}/replay", span), 404) == "not_found"
    headers = s.headers(member, If_Match='"1"')
    assert (await s.client.patch(path, headers=headers, json={"name": "x"})).status_code == 404
    assert (await s.client.delete(path, headers=headers)).status_code == 404
    assert ok(await s.get(member, ENDPOINTS))["items"] == []


@pytest.mark.parametrize("member", ["customer.isso", "customer.executive_sponsor", "observer.observer"])
async def test_roles_without_that_duty_keep_no_endpoints(s: RunningService, member: str) -> None:
    assert problem(await s.get(member, ENDPOINTS), 403) == "role_required"
    assert problem(await s.post(member, ENDPOINTS, {"name": "Desk", "url": URL}), 403) == "role_required"


async def patch(s: RunningService, row: dict[str, Any], **changes: Any) -> Any:
    headers = s.headers(TEAM, If_Match=f'"{row["version"]}"')
    return await s.client.patch(f"{ENDPOINTS}/{row['id']}", headers=headers, json=changes)


async def test_a_change_touches_only_what_it_names(s: RunningService) -> None:
    created = await registered(s, URL, least_priority="high")
    changed = ok(await patch(s, created, name="Renamed", **JIRA))
    assert (changed["name"], changed["template"], changed["least_priority"]) == (
        "Renamed",
        "jira_issue",
        "high",
    )
    assert (changed["url"], changed["version"]) == (URL, created["version"] + 1)
    again = ok(await patch(s, changed, name="Once more"))
    assert again["template_options"]["project_key"] == "OPS"
    assert problem(await patch(s, created, name="Late"), 412) == "version_changed"
    assert problem(await patch(s, again, url="https://10.0.0.1/"), 422) == "address_not_public"


async def test_the_trail_names_the_host_an_endpoint_was_moved_to(s: RunningService) -> None:
    created = await registered(s, URL)
    renamed = ok(await patch(s, created, name="Renamed"))
    ok(await patch(s, renamed, url="https://elsewhere.example.gov/secret-path"))
    async with s.kernel.database.system() as session:
        lines = await timeline(session, UUID(created["id"]))
    assert [(line.action, dict(line.detail)) for line in lines] == [
        ("endpoint.create", {"host": "tickets.example.gov"}),
        ("endpoint.change", {"changed": ["name"]}),
        ("endpoint.change", {"changed": ["url"], "host": "elsewhere.example.gov"}),
    ]


async def test_a_deleted_endpoint_is_gone_and_its_secrets_with_it(s: RunningService) -> None:
    created = await registered(s, URL, authorization="Bearer abc")
    await escalated(s)
    headers = s.headers(TEAM, If_Match='"1"')
    answer = await s.client.delete(f"{ENDPOINTS}/{created['id']}", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert problem(await s.get(TEAM, f"{ENDPOINTS}/{created['id']}"), 404) == "not_found"
    (waiting,) = await deliveries_of(s, created)
    assert waiting["state"] == "cancelled"
    assert problem(await act(s, waiting, "deliveries", "replay"), 409) == "endpoint_deleted"
    async with s.kernel.database.system() as session:
        assert await session.scalar(text("SELECT count(*) FROM endpoint_secret")) == 0


async def test_authorization_can_be_replaced_and_removed(s: RunningService) -> None:
    created = await registered(s, URL)
    path = f"{ENDPOINTS}/{created['id']}/authorization"
    headers = s.headers(TEAM, If_Match='"1"')
    put = ok(await s.client.put(path, headers=headers, json={"authorization": "Bearer abc"}))
    assert put["has_authorization"]
    headers = s.headers(TEAM, If_Match='"2"')
    assert not ok(await s.client.delete(path, headers=headers))["has_authorization"]


async def test_an_endpoint_is_enabled_only_after_a_test_that_succeeded(s: RunningService) -> None:
    async with Receiver(Reply(status=500)) as receiver:
        created = await registered(s, receiver.url())
        off = ok(await act(s, created, "endpoints", "disable"))
        assert problem(await act(s, off, "endpoints", "enable"), 409) == "test_required"
        s.clock.advance(timedelta(seconds=1))
        failed = ok(await s.post(TEAM, f"{ENDPOINTS}/{off['id']}/test"), 202)
        await s.drain()
        assert problem(await act(s, off, "endpoints", "enable"), 409) == "test_required"
        ok(await s.post(TEAM, f"{ENDPOINTS}/{off['id']}/test"), 202)
        await s.drain()
        on = ok(await act(s, off, "endpoints", "enable"))
    assert on["enabled"]
    assert len(receiver.requests) == 2
    path = f"{NOTIFIER}/deliveries/{failed['id']}"
    assert ok(await s.get(TEAM, path))["state"] == "exhausted"
    assert [e.reason for e in await s.events(EndpointDisabled)] == ["by_member"]


async def test_a_switched_off_endpoint_gets_no_new_deliveries(s: RunningService) -> None:
    created = await registered(s, URL)
    ok(await act(s, created, "endpoints", "disable"))
    await escalated(s)
    assert await deliveries_of(s, created) == []
    assert problem(await act(s, await endpoint_now(s, created), "endpoints", "disable"), 409)


@pytest.mark.parametrize(
    ("form", "count"),
    [
        ({}, 1),
        ({"least_priority": "high"}, 1),
        ({"least_priority": "urgent"}, 0),
        ({"event_types": ["org.concordat.escalation.raised.v1"]}, 1),
        ({"event_types": ["org.concordat.escalation.closed.v1"]}, 0),
    ],
)
async def test_an_endpoint_gets_what_it_asked_for(
    s: RunningService, form: dict[str, Any], count: int
) -> None:
    created = await registered(s, URL, **form)
    await escalated(s)
    assert len(await deliveries_of(s, created)) == count


async def test_an_endpoint_says_whether_it_takes_the_events_of_rules_to_come(s: RunningService) -> None:
    chosen = await registered(s, URL, event_types=["org.concordat.escalation.raised.v1"])
    everything = await registered(s, URL)
    assert (chosen["takes_new_rules"], everything["takes_new_rules"]) == (False, True)
    assert ok(await patch(s, chosen, event_types=[]))["takes_new_rules"]
    document = (await s.client.get("/notifier/openapi.json")).json()
    description = document["components"]["schemas"]["EndpointCreate"]["properties"]["event_types"][
        "description"
    ]
    assert (
        "Empty: every one that has a rule, also of rules that later versions of Concordat bring"
        in description
    )


async def test_an_endpoint_without_event_types_is_sent_whatever_has_a_rule(s: RunningService) -> None:
    everything = await registered(s, URL)
    chosen = await registered(s, URL, event_types=["org.concordat.escalation.raised.v1"])
    await escalated(s)
    await review_due(s, uuid7(), days_left=30, version=1)
    assert len(await deliveries_of(s, everything)) == 2
    assert len(await deliveries_of(s, chosen)) == 1


async def test_the_templates_can_be_listed_and_tried(s: RunningService) -> None:
    names = [t["name"] for t in ok(await s.get(TEAM, f"{NOTIFIER}/templates"))["items"]]
    assert names == ["cloudevents", "servicenow_incident", "jira_issue"]
    await escalated(s)
    alert = ok(await s.get(TEAM, f"{NOTIFIER}/alerts"))["items"][0]
    path = f"{NOTIFIER}/templates/servicenow_incident/render"
    shown = ok(await s.post(TEAM, path, {"alert_id": alert["id"]}))
    assert shown["body"]["correlation_id"] == alert["id"]
    assert f"Concordat alert: {alert['id']}" in shown["body"]["description"]
    assert "http" not in shown["body"]["description"], "no link before there is a page a person can open"
    assert problem(await s.post("other.om_team", path, {"alert_id": alert["id"]}), 404) == "not_found"
    assert problem(await s.post(TEAM, f"{NOTIFIER}/templates/jira_issue/render", {}), 422)
    assert (await s.post(TEAM, f"{NOTIFIER}/templates/odd/render", {})).status_code == 422


async def test_a_missing_endpoint_is_not_found(s: RunningService) -> None:
    assert problem(await s.get(TEAM, f"{ENDPOINTS}/{uuid7()}"), 404) == "not_found"
    assert (await s.get(TEAM, f"{ENDPOINTS}/odd")).status_code == 422


REQUIRED = {
    "database_url": SecretStr("postgresql://x"),
    "bus": "kafka",
    "kafka_bootstrap": "broker:9092",
    "audit_key": SecretStr(new_vault_key()),
}


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"environment": "production"}, "NOTIFIER_SECRET_KEY"),
        ({"environment": "production", "secret_key": SecretStr("short")}, "a secret key is"),
        ({"environment": "test", "allowed_networks": ("10.0.0.1/8",)}, "host bits"),
        ({"environment": "test", "allowed_ports": ("0",)}, "no port"),
        ({"environment": "test", "deadline": timedelta(minutes=2)}, "less than or equal"),
    ],
)
def test_unsafe_settings_are_refused(extra: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Settings(**REQUIRED | extra)


def test_lists_are_written_with_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFIER_ALLOWED_NETWORKS", "10.0.0.0/8, 192.168.0.0/16")
    monkeypatch.setenv("NOTIFIER_ALLOWED_PORTS", "443,8000-8999")
    monkeypatch.setenv("NOTIFIER_SECRET_KEY", new_vault_key())
    policy = Settings(**REQUIRED | {"environment": "production"}).egress_policy()
    assert len(policy.networks) == 2
    assert policy.allows_port(8080)
    assert not policy.allows_port(80)
