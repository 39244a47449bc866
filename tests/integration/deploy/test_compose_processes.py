"""The stack of docker-compose.yml, started command by command on a real Kafka, used, and stopped."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest

from services.registry import SERVICES
from shared.data.migrations import runtime_role
from tests.support.harness import PASSWORD
from tests.support.patience import PATIENCE, Patience
from tests.support.postgres import PostgresServer
from tests.support.processes import Stack, compose_stack, kafka_bootstrap

pytestmark = pytest.mark.kafka
LISTS = {
    "charter": "/charter/v1/organizations",
    "sla": "/sla/v1/slas",
    "changes": "/changes/v1/change_requests",
    "notifier": "/notifier/v1/alerts",
}


@pytest.fixture(scope="module")
async def stack(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("compose")
    async with compose_stack(postgres, kafka_bootstrap(), folder) as started:
        yield started


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as opened:
        yield opened


@pytest.fixture(scope="module")
async def member(stack: Stack, client: httpx.AsyncClient) -> str:
    """The subject of a person the charter service was told about; the others learn of her over Kafka."""
    base, admin = stack.base_url("charter"), stack.headers("sysadmin")
    organization = await client.post(
        f"{base}/charter/v1/organizations", headers=admin, json={"name": "Department of Example Services"}
    )
    assert organization.status_code == 201, organization.text
    person = {
        "issuer": stack.issuer,
        "subject": "alice",
        "display_name": "Alice Example",
        "roles": ["org_admin", "om_team", "business_owner"],
    }
    members = f"{base}/charter/v1/organizations/{organization.json()['id']}/members"
    created = await client.post(members, headers=admin, json=person)
    assert created.status_code == 201, created.text
    return "alice"


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_turns_away_whoever_brings_no_token(
    stack: Stack, client: httpx.AsyncClient, service: str
) -> None:
    answer = await client.get(stack.base_url(service) + LISTS[service])
    assert answer.status_code == 401, answer.text


@pytest.mark.parametrize("service", SERVICES)
async def test_a_member_registered_with_the_charter_service_is_served_by_every_service(
    stack: Stack, client: httpx.AsyncClient, member: str, service: str
) -> None:
    answer = await _eventually_ok(client, stack.base_url(service) + LISTS[service], stack.headers(member))
    assert "items" in answer.json()


async def _eventually_ok(client: httpx.AsyncClient, url: str, headers: dict[str, str]) -> httpx.Response:
    """The first 200, else the last answer's assertion."""
    patience = Patience()
    while patience.is_left:
        answer = await client.get(url, headers=headers)
        if answer.status_code == 200:
            return answer
        await asyncio.sleep(0.5)
    raise AssertionError(f"{url}: {answer.status_code} {answer.text}")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_services_role_reads_its_own_tables_and_no_others(stack: Stack, service: str) -> None:
    connection = await asyncpg.connect(_as_role(stack.database_url, runtime_role(service)))
    try:
        await connection.execute(f"SELECT 1 FROM {service}.outbox")
        for other in set(SERVICES) - {service}:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT 1 FROM {other}.outbox")
    finally:
        await connection.close()


def _as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:{PASSWORD}@{parts.hostname}:{parts.port}"))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_token_of_somebody_who_is_no_member_opens_nothing(
    stack: Stack, client: httpx.AsyncClient, service: str
) -> None:
    answer = await client.get(stack.base_url(service) + LISTS[service], headers=stack.headers("mallory"))
    assert answer.status_code == 403, answer.text


async def test_a_webhook_reaches_the_sink_with_a_signature_it_believes(
    stack: Stack, client: httpx.AsyncClient, member: str
) -> None:
    endpoints, headers = f"{stack.base_url('notifier')}/notifier/v1/endpoints", stack.headers(member)
    desk = {"name": "Service desk", "url": f"{stack.sink_url}/hook/desk"}
    await _eventually_ok(client, endpoints, headers)
    endpoint = (await client.post(endpoints, headers=headers, json=desk)).raise_for_status().json()
    await client.put(f"{stack.sink_url}/hook/desk/secret", content=endpoint["signing_secret"])
    tested = await client.post(f"{endpoints}/{endpoint['id']}/test", headers=headers, json={})
    assert tested.is_success, tested.text
    [delivery] = await _deliveries(stack, client)
    assert (delivery["hook"], delivery["verified"]) == ("desk", True)


async def _deliveries(stack: Stack, client: httpx.AsyncClient) -> list[dict[str, object]]:
    """What the sink has received, as soon as it has received anything."""
    async with asyncio.timeout(PATIENCE):
        while not (deliveries := (await client.get(stack.sink_url)).json()["deliveries"]):
            await asyncio.sleep(0.2)
    return list(deliveries)


async def test_every_process_ends_and_reports_success_when_asked_to_stop(stack: Stack) -> None:
    ended = await stack.stop()
    assert set(ended) == {*SERVICES, "identity-provider", "webhook-sink"}
    failures = [stack.processes[name].last_lines() for name, code in ended.items() if code != 0]
    assert not failures, "\n".join(failures)
