"""The page at `/` of the embedded mode leads to every service's documents, and has the headers of every answer."""

import re

import httpx
import pytest

from concordat.embedded.server import front_door
from concordat.reference.sources import app_of
from services.registry import SERVICES


@pytest.fixture
async def client() -> httpx.AsyncClient:
    door = front_door({service: app_of(service) for service in SERVICES})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=door), base_url="http://test")


async def test_the_front_page_leads_to_every_interactive_document(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert re.findall(r'href="/(\w+)/docs"', page.text) == list(SERVICES)
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-request-id"]
    head = await client.head("/")
    assert (head.status_code, head.content) == (200, b"")


async def test_an_address_no_service_has_is_a_problem_that_names_those_there_are(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/nowhere")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_route")
    assert all(service in answer.json()["detail"] for service in SERVICES)
