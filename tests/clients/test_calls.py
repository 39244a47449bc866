"""Every operation of every service, called once by a generated client: the answer fits the type it was promised as."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services.registry import SERVICES
from tests.clients.requests import Call, calls_of
from tests.hostile.conftest import StageOf
from tests.support.platform import listening

HERE = Path(__file__).parent
UNKNOWN_TO_PYTHON = "application/x-ndjson"
"""Its generator makes no type for an answer that is neither text nor JSON; the bytes are there."""

pytestmark = [pytest.mark.clients, pytest.mark.parametrize("service", SERVICES)]


async def answers(*command: str | Path) -> dict[str, dict[str, Any]]:
    """What a program said about each operation, a line of JSON for each."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-3000:]
    said = [json.loads(line) for line in output.splitlines()]
    return {each["operation"]: each for each in said}


async def test_python_calls_every_operation(
    service: str, clients: Path, stage_of: StageOf, tmp_path: Path
) -> None:
    stage = await stage_of(service)
    calls = await calls_of(stage)
    file = tmp_path / "calls.json"
    file.write_text(json.dumps([call.as_json() for call in calls]))
    async with listening(stage.s.app) as url:
        python = clients / "tools" / "bin" / "python"
        said = await answers(python, HERE / "python_calls.py", clients / "python" / service, url, file)
    assert {name: each["status"] for name, each in said.items()} == expected(calls), said
    assert {name: each["lost"] for name, each in said.items() if each.get("lost")} == {}
    untyped = {name for name, each in said.items() if each["type"] == "NoneType" and each["bytes"]}
    assert untyped == {call.operation for call in calls if call.media == UNKNOWN_TO_PYTHON}
    print(
        f"\n{service}: {len(said)} operations",
        dict(Counter(each["type"] for each in said.values())),
        file=sys.stderr,
    )


def expected(calls: list[Call]) -> dict[str, int]:
    return {call.operation: call.status for call in calls}
