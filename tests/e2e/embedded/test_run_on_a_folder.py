"""`concordat run embedded` on a folder, as a newcomer runs it: where the clock begins, how it moves, who may run."""

import os
import re
import subprocess
import sys
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.support.faults.processes import free_port
from tests.support.patience import PATIENCE, until
from tests.support.processes import Process

ROOT = Path(__file__).resolve().parents[3]
README = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
REFUSALS_END_IT = "set -euo pipefail\ncurl() { command curl --fail-with-body --noproxy '*' \"$@\"; }\n"


class Installation:
    """A folder, and the commands of the program on it."""

    def __init__(self, home: Path) -> None:
        self.data = home / "data"
        self.port = free_port()
        self._home = home

    async def command(self, *words: str) -> tuple[int, str]:
        """The exit code of a command, and what it said."""
        process = self._process(*words)
        return await process.ended(), process.last_lines(200)

    async def run(self, *options: str, port: int | None = None) -> tuple[int, str]:
        """`run embedded` where it is refused."""
        return await self.command("run", "embedded", "--port", str(port or self.port), *options)

    @asynccontextmanager
    async def running(self, *options: str) -> AsyncIterator[None]:
        process = self._process("run", "embedded", "--port", str(self.port), *options)
        try:
            await until(lambda: self._answers(process), pause=0.2)
            yield
            assert await process.terminate() == 0, process.last_lines()
        finally:
            process.kill()

    async def _answers(self, process: Process) -> bool:
        assert process.is_running, process.last_lines()
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"http://127.0.0.1:{self.port}/clock")).is_success
            except httpx.HTTPError:
                return False

    def _process(self, *words: str) -> Process:
        log = self._home / f"{len(list(self._home.glob('*.log')))}.log"
        command = (sys.executable, "-m", "concordat", *words, "--data", str(self.data))
        return Process(words[0], command, {"COLUMNS": "300", "HOME": os.environ["HOME"]}, log)


async def test_a_newcomer_sees_a_deadline_pass(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    async with here.running("--clock", "2026-11-16T09:00"):
        tokens = (here.data / "tokens.env").read_text()
        code, shown = await here.command("clock", "show")
        assert (code, "Mon 2026-11-16 09:0" in shown) == (0, True), shown
        assert "Next is something of " in shown

        code, moved = await here.command("clock", "advance", "10bd")
        assert code == 0, moved
        assert "2026-11-16T22:00:00.000001Z  sla: report.publication of " in moved  # October's, due that day
        assert "The clock stands at Tue 2026-12-01 09:0" in moved
        code, back = await here.command("clock", "set", "2026-11-20T09:00")
        assert (code, "cannot go back" in back) == (1, True), back

        code, second = await here.run(port=free_port())
        assert (code, f"already, at http://127.0.0.1:{here.port}." in second) == (1, True), second
        assert (here.data / "tokens.env").read_text() == tokens

    code, nothing = await here.command("clock", "show")
    assert (code, "Nothing runs on the folder" in nothing) == (1, True), nothing
    code, earlier = await here.run("--clock", "2026-11-16T09:00")
    assert (code, "make run DATA=" in earlier, "Traceback" in earlier) == (1, True, False), earlier
    async with here.running():
        _, shown = await here.command("clock", "show")
        assert "The clock stands at Tue 2026-12-01 09:" in shown  # where it was, and the moments since


async def test_a_single_service_has_no_clock_to_move(tmp_path: Path) -> None:
    code, refused = await Installation(tmp_path).command("run", "charter", "--clock", "2026-11-16T09:00")
    assert (code, "embedded mode only" in refused) == (2, True), refused
    code, unreadable = await Installation(tmp_path).run("--clock", "yesterday")
    assert (code, "such as 2026-11-16T09:00" in unreadable) == (1, True), unreadable


async def test_every_line_of_the_readme_is_answered(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    *story, check = (block for block in README if "make run" not in block)
    assert "".join([*story, check]).count("as $") == 7
    # Whatever was signed when the story began: rows of the last five minutes may still wait for their checkpoint.
    later = ".venv/bin/concordat clock advance 1h --data .data\n"
    signed = f"until {{\n{check}}}\ndo sleep 1\ndone\n"
    places = {".data": here.data, ".venv": Path(sys.prefix), "services": ROOT / "services"}
    for name, place in places.items():
        (tmp_path / name).symlink_to(place)
    async with here.running():
        script = ("bash", "-c", "".join([REFUSALS_END_IT, *story, later, signed]))
        done = await to_thread(
            subprocess.run, script, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "45 accepted" in done.stdout
    assert "integrity: holds\ncompleteness: holds" in done.stdout
    assert "Platform, 2026-10" in (tmp_path / "report.html").read_text()
