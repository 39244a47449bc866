"""Every operation of every service, called once by a generated client: the answer fits the type it was promised as."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services.registry import SERVICES
from tests.clients.requests import Call, calls_of
from tests.clients.typescript import program, requests
from tests.hostile.conftest import StageOf
from tests.support.platform import listening

HERE = Path(__file__).parent
STRICT = ("--target", "es2022", "--lib", "es2022,dom", "--module", "commonjs")
UNKNOWN_TO_PYTHON = "application/x-ndjson"
"""Its generator makes no type for an answer that is neither text nor JSON; the bytes are there."""

pytestmark = [pytest.mark.clients, pytest.mark.parametrize("service", SERVICES)]


async def answers(*command: str | Path) -> dict[str, dict[str, Any]]:
    """What a program reported about each operation, a line of JSON for each."""
    code, output, errors = await ran(*command)
    assert code == 0, errors[-3000:]
    calls_made = [json.loads(line) for line in output.splitlines()]
    return {each["operation"]: each for each in calls_made}


async def ran(*command: str | Path) -> tuple[int | None, str, str]:
    """A program's exit code, its output, and its errors."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_python_calls_every_operation(
    service: str, clients: Path, stage_of: StageOf, tmp_path: Path
) -> None:
    stage = await stage_of(service)
    calls = await calls_of(stage)
    file = tmp_path / "calls.json"
    file.write_text(json.dumps([call.as_json() for call in calls]))
    async with listening(stage.s.app) as url:
        python = clients / "tools" / "bin" / "python"
        calls_made = await answers(python, HERE / "python_calls.py", clients / "python" / service, url, file)
    assert {name: each["status"] for name, each in calls_made.items()} == expected(calls), calls_made
    assert {name: each["lost"] for name, each in calls_made.items() if each.get("lost")} == {}
    untyped = {name for name, each in calls_made.items() if each["type"] == "NoneType" and each["bytes"]}
    assert untyped == {call.operation for call in calls if call.media == UNKNOWN_TO_PYTHON}
    report(service, calls_made)


async def test_typescript_calls_every_operation(service: str, clients: Path, stage_of: StageOf) -> None:
    stage = await stage_of(service)
    calls = await calls_of(stage)
    made = clients / "typescript-fetch" / f"calls-{service}"
    made.mkdir(exist_ok=True)
    async with listening(stage.s.app) as url:
        (made / "calls.ts").write_text(program(calls, clients / "typescript-fetch" / service, url))
        await compiled(clients, made / "calls.ts", "--outDir", made, "--rootDir", made.parent)
        calls_made = await answers("node", made / made.name / "calls.js")
    assert {name: each["status"] for name, each in calls_made.items()} == expected(calls), calls_made
    untyped = {name for name, each in calls_made.items() if each["type"] == "undefined"}
    assert untyped == {call.operation for call in calls if not call.media}
    report(service, calls_made)


async def test_every_request_fits_the_types_of_openapi_typescript(
    service: str, clients: Path, stage_of: StageOf
) -> None:
    calls = await calls_of(await stage_of(service))
    file = clients / "typescript" / service / "requests.ts"
    file.write_text(requests(calls))
    await compiled(clients, file, "--noEmit")


async def compiled(clients: Path, file: Path, *options: str | Path) -> None:
    """By tsc, as strictly as it can."""
    compiler = (clients / "node_modules" / ".bin" / "tsc", "--strict", *STRICT)
    code, output, _ = await ran(*compiler, *options, file)
    assert code == 0, output[:3000]


def report(service: str, calls_made: dict[str, dict[str, Any]]) -> None:
    """Shown by `make clients`, which lets tests print."""
    kinds = Counter(each["type"] for each in calls_made.values())
    print(
        f"\n{service}: {len(calls_made)} operations called, read as",
        ", ".join(f"{n} {kind}" for kind, n in kinds.items()),
    )


def expected(calls: list[Call]) -> dict[str, int]:
    return {call.operation: call.status for call in calls}
