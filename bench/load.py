"""HTTP load from a process of its own: `wrk` where it is (or can be) installed, else our own client."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from uuid import uuid4

import psutil  # type: ignore[import-untyped]

from bench.figures import Sample

CONNECTIONS = 16


@dataclass(frozen=True)
class Load:
    """The request a client repeats on every connection; bodies take turns, a POST has a key of its own.

    `pid` is the server's process: CPU time per request tells more than the rate on a busy machine.
    """

    port: int
    pid: int
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    bodies: Sequence[str] = ("",)
    connections: int = CONNECTIONS


@cache
def client() -> str:
    """The load generator of this machine: `wrk` from Debian, else `bench.client`."""
    if not shutil.which("wrk") and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "-qq", "wrk"]
        subprocess.run(install, capture_output=True, check=False)  # noqa: S603
    return "wrk" if shutil.which("wrk") else "bench.client"


def apply(load: Load, seconds: float) -> Sample:
    """Requests per second for `seconds`, with percentiles. Any failed request fails the measurement."""
    before = _cpu_seconds(load.pid)
    run = _run(load, seconds)
    if run["errors"] or not run["requests"]:
        raise RuntimeError(f"{load.method} {load.path}: {run['errors']} of {run['requests']} failed")
    cpu_ms = (_cpu_seconds(load.pid) - before) / run["requests"] * 1000
    detail = {"p50_ms": run["p50_ms"], "p99_ms": run["p99_ms"], "server_cpu_ms": cpu_ms}
    return Sample(run["requests"] / run["seconds"], detail)


def _cpu_seconds(pid: int) -> float:
    """Of the server's process and of those it started, as gunicorn does."""
    server = psutil.Process(pid)
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def warm_up(load: Load, seconds: float = 2) -> None:
    """Load whose outcome does not count: pools are filled, statements prepared, code paths compiled."""
    _run(load, seconds)


def _run(load: Load, seconds: float) -> dict[str, float]:
    generate = _wrk if client() == "wrk" else _own_client
    return generate(load, seconds, uuid4().hex)


def _own_client(load: Load, seconds: float, key: str) -> dict[str, float]:
    given = json.dumps({**asdict(load), "seconds": seconds, "key": key})
    return _output([sys.executable, "-m", "bench.client"], given)


def _wrk(load: Load, seconds: float, key: str) -> dict[str, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_lua(load, key))
        script.flush()
        options = ["-t1", f"-c{load.connections}", f"-d{seconds:.0f}s", "-s", script.name]
        return _output(["wrk", *options, f"http://127.0.0.1:{load.port}"], "")


def _output(command: list[str], given: str) -> dict[str, float]:
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, cwd=root)  # noqa: S603
    output: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return output


_SCRIPT = """
local bodies = {%(bodies)s}
local headers = {%(headers)s}
local n = 0
function request()
  n = n + 1
  if "%(method)s" == "POST" then headers["Idempotency-Key"] = "%(key)s-" .. n end
  return wrk.format("%(method)s", "%(path)s", headers, bodies[n %% #bodies + 1])
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%%d,"seconds":%%f,"errors":%%d,"p50_ms":%%f,"p99_ms":%%f}\\n', summary.requests,
    summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


def _lua(load: Load, key: str) -> str:
    return _SCRIPT % {
        "bodies": ", ".join(f"[==[{body}]==]" for body in load.bodies),
        "headers": ", ".join(f'["{name}"] = "{value}"' for name, value in load.headers.items()),
        "method": load.method,
        "path": load.path,
        "key": key,
    }
