"""Behind a proxy: whose address is logged, where links lead, and what the documents say."""

from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from fastapi import Request
from pydantic import ValidationError

from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.route import new_router
from tests.api.web.conftest import StartToy
from tests.support import toy_service
from tests.support.harness import RunningService

PUBLIC = "https://concordat.example.gov/om"
TEAM = "customer.om_team"
router = new_router("client", prefix="/changes/v1/client")


@pytest.fixture(scope="module")
async def toy(start_toy: StartToy) -> AsyncIterator[RunningService]:
    # The test client's own address is 127.0.0.1.
    async with start_toy(
        router, public_url=PUBLIC + "/", trusted_proxies=("127.0.0.0/8", "10.1.0.0/16")
    ) as service:
        yield service


@pytest.fixture(scope="module")
async def open_toy(start_toy: StartToy) -> AsyncIterator[RunningService]:
    async with start_toy(router) as service:
        yield service


@router.get("")
async def get_client(request: Request, caller: Annotated[Principal, allow(toy_service.READ)]) -> str:
    """What the access log writes as `client`."""
    assert request.client is not None
    return f"{request.url.scheme} {request.client.host}"


async def seen(toy: RunningService, forwarded: str) -> object:
    headers = toy.headers(TEAM) | {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
    return (await toy.client.get("/changes/v1/client", headers=headers)).json()


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),  # what a client claims about itself comes first
        ("198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
async def test_the_client_is_the_last_address_that_is_no_proxy_of_ours(
    toy: RunningService, forwarded: str, client: str
) -> None:
    assert await seen(toy, forwarded) == f"https {client}"


async def test_without_the_setting_nobody_is_believed(open_toy: RunningService) -> None:
    assert await seen(open_toy, "198.51.100.7") == "http 127.0.0.1"


async def test_links_and_documents_name_the_public_address(toy: RunningService) -> None:
    for _ in range(2):
        form = {"charter_id": str(toy.world.charter_id), "title": "t"}
        await toy.post(TEAM, "/changes/v1/notes", form)
    page = await toy.get(TEAM, "/changes/v1/notes", limit=1)
    assert page.headers["link"].startswith(f"<{PUBLIC}/changes/v1/notes?limit=1&cursor=")
    assert (await toy.client.get("/changes/openapi.json")).json()["servers"] == [{"url": PUBLIC}]


@pytest.mark.parametrize(
    "url", ["concordat.example.gov", "ftp://x", "https://", "https://x/?a=b", "https://x/#a", ""]
)
def test_what_is_no_address_is_refused_as_the_public_one(url: str) -> None:
    with pytest.raises(ValidationError, match="give an address such as"):
        toy_service.Settings(
            public_url=url, database_url="postgresql://x/y", bus="kafka", kafka_bootstrap="k:1"
        )


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_everybody_is_no_proxy(network: str) -> None:
    with pytest.raises(ValidationError, match="names everybody"):
        toy_service.Settings(
            environment="test",
            trusted_proxies=(network,),
            database_url="postgresql://x/y",
            bus="kafka",
            kafka_bootstrap="k:1",
        )


# The interactive document


async def test_the_interactive_document_loads_nothing_from_elsewhere(open_toy: RunningService) -> None:
    page = await open_toy.client.get("/changes/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "//" not in page.text.replace("<!doctype", "")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    ("asset", "kind", "holds"),
    [
        ("swagger-ui-bundle.js", "text/javascript", "SwaggerUIBundle"),
        ("swagger-ui.css", "text/css", ".swagger-ui"),
        ("start.js", "text/javascript", 'url: "openapi.json"'),
    ],
)
async def test_its_assets_are_served_here(
    open_toy: RunningService, asset: str, kind: str, holds: str
) -> None:
    assert f"docs/{asset}" in (await open_toy.client.get("/changes/docs")).text
    answer = await open_toy.client.get(f"/changes/docs/{asset}")
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert holds in answer.text
    again = await open_toy.client.get(
        f"/changes/docs/{asset}", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("asset", ["nothing.js", "..%2f__init__.py", "redoc.standalone.js"])
async def test_no_other_file_is_served(open_toy: RunningService, asset: str) -> None:
    assert (await open_toy.client.get(f"/changes/docs/{asset}")).status_code == 404
