"""Against every route with a body: never a 5xx, always a problem document, and nothing stored."""

import asyncio

import pytest

from services.registry import SERVICES
from tests.hostile.bodies import CORPUS, Spoiled, in_chunks
from tests.hostile.conftest import StageOf
from tests.hostile.objects import ready
from tests.hostile.routes import routes_of
from tests.hostile.support import Ready, Stage, is_problem, ledger, send
from tests.support.patience import PATIENCE

BYTES = 64 * 1024
WORKING: dict[int, list[Ready]] = {}


async def working(stage: Stage) -> list[Ready]:
    """Requests that work, one per route with a JSON body; spoiled ones leave them as they are."""
    if id(stage) not in WORKING:
        routes = [route for route in routes_of(stage.s.name) if route.takes == "json"]
        WORKING[id(stage)] = [await ready(stage, route) for route in routes]
    return WORKING[id(stage)]


@pytest.mark.parametrize("spoiled", CORPUS, ids=lambda spoiled: spoiled.name)
@pytest.mark.parametrize("service", SERVICES)
async def test_a_spoiled_body_is_refused_and_leaves_no_trace(
    service: str, spoiled: Spoiled, stage_of: StageOf
) -> None:
    stage = await stage_of(service)
    requests = await working(stage)
    before = await ledger(stage.s)
    wrong = {}
    for each in requests:
        content = spoiled.content(each.body)
        async with asyncio.timeout(PATIENCE):  # the known attack on the depth check took minutes
            answer = await send(
                stage,
                each,
                etag='"1"',
                content=in_chunks(content) if spoiled.chunked else content,
                headers=dict(spoiled.headers),
            )
        if answer.status_code != spoiled.status or not is_problem(answer) or len(answer.content) >= BYTES:
            wrong[each.route.label] = (answer.status_code, answer.text[:300])
    assert not wrong
    assert await ledger(stage.s) == before
