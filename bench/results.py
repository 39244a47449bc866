"""How long everybody else waits while results are read over a million observations."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import psutil  # type: ignore[import-untyped]

from bench.figures import Figure, Options, Result, Sample, Side, Step
from bench.ingest import registered
from bench.stage import Server, stage

ROWS = 1_000_000
PATIENCE_SECONDS = 600
MIB = 1024 * 1024
NOTE = (
    "rows are fetched a thousand at a time, a few ms of decoding each, and summed in a worker thread, which gives the "
    "interpreter back every 5 ms; the rest is the machine's own scheduling"
)
FILL = """
    INSERT INTO sla.observation
    SELECT s.id, 'bench', n::text, 1, 'probe', 'payroll', timestamptz '2026-10-01T00:00Z' + n * interval '2.6 seconds',
           NULL, n % 997, n % 1000 > 0, '{"http_status": "200"}', '[]', false, md5(n::text), now(), s.id,
           s.charter_id, s.customer_org_id, s.provider_org_id, 'shared'
      FROM sla.sla s, generate_series(1, {rows}) n
""".replace("{rows}", str(ROWS))


def gaps(options: Options, step: Step) -> list[Result]:
    """The longest wait for a health check, asked without pause while one caller reads the results."""
    with stage("sla") as on, ExitStack() as servers:
        ours = servers.enter_context(on.service("sla"))
        sla_id = registered(on, ours)
        step("storing a million observations")
        on.execute(FILL)
        path = f"/sla/v1/slas/{sla_id}/results"
        # Made before the clock runs: making a client keeps the other thread of this process waiting.
        reader, watcher = (servers.enter_context(_client(ours)) for _ in range(2))
        reader.headers.update(on.headers("customer.om_team"))
        reader.get(path, params={"period": "2026-11"}).raise_for_status()
        runs, idle = [], []
        for number in range(1, options.runs + 1):
            step(f"run {number} of {options.runs}")
            idle.append(_idle(watcher, options.seconds))
            runs.append(_gap(reader, watcher, ours.pid, path))
    waited = Side(
        f"the longest answer to GET /sla/healthz while results over {ROWS:,} observations of one month are read",
        "ms",
        runs,
    )
    nothing = Side("the longest answer while nothing else is asked: what the machine adds", "ms", idle)
    title = "The longest wait while results are read"
    return [
        Figure("loop_gap_ms", title, waited, aim=50, smaller_is_better=True, others=(nothing,), note=NOTE)
    ]


def _client(ours: Server) -> httpx.Client:
    return httpx.Client(base_url=ours.url, timeout=PATIENCE_SECONDS, trust_env=False)


def _gap(reader: httpx.Client, watcher: httpx.Client, pid: int, path: str) -> Sample:
    """The value is in ms; beside it the seconds of the read and the MiB the process grew by."""

    def read() -> float:
        started = time.perf_counter()
        answer = reader.get(path, params={"period": "2026-10"})
        [result] = answer.raise_for_status().json()["results"]
        if result["n"] != ROWS:
            raise RuntimeError(f"the result stands on {result['n']} observations")
        return time.perf_counter() - started

    before = psutil.Process(pid).memory_info().rss
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        longest = _longest(watcher, reading.done)
    grown = psutil.Process(pid).memory_info().rss - before
    return Sample(longest * 1000, {"read_s": reading.result(), "grown_mib": grown / MIB})


def _idle(watcher: httpx.Client, seconds: float) -> Sample:
    ends = time.perf_counter() + seconds
    return Sample(_longest(watcher, lambda: time.perf_counter() > ends) * 1000)


def _longest(watcher: httpx.Client, is_over: Callable[[], bool]) -> float:
    longest = 0.0
    while not is_over():
        asked = time.perf_counter()
        watcher.get("/sla/healthz").raise_for_status()
        longest = max(longest, time.perf_counter() - asked)
    return longest
