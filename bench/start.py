"""How long the embedded mode takes to come up with data present, and how much memory it holds."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bench.figures import Figure, Options, Result, Sample, Side, Step
from bench.stage import ROOT, free_port, until_ready

MIB = 1024 * 1024
SETTLE_SECONDS = 2


def starts(options: Options, step: Step) -> list[Result]:
    """Start, wait for the first 200, weigh, stop; the data are those of the demonstration."""
    seconds, without, whole = [], [], []
    with tempfile.TemporaryDirectory(prefix="concordat-bench-") as folder:
        step("the first start, which loads the demonstration")
        with embedded_mode(Path(folder)):
            pass
        for number in range(1, options.runs + 1):
            step(f"start {number} of {options.runs}")
            with embedded_mode(Path(folder)) as (process, took):
                time.sleep(SETTLE_SECONDS)
                own, database = memory(process)
            seconds.append(Sample(took))
            without.append(Sample(own))
            whole.append(Sample(own + database))
    start = Side("concordat run embedded, data present: start to first 200 of /changes/readyz", "s", seconds)
    rss = Side("RSS of that process: four services, relays, consumers, timers", "MiB", without)
    tree = Side("the same with PostgreSQL (RSS counts shared buffers once per process)", "MiB", whole)
    return [
        Figure("cold_start_s", "Start of the embedded mode", start, smaller_is_better=True),
        Figure("rss_mb", "Memory of the embedded mode", rss, smaller_is_better=True, others=(tree,)),
    ]


@contextmanager
def embedded_mode(folder: Path) -> Iterator[tuple[psutil.Process, float]]:
    """`concordat run embedded`, with the seconds it took from start to ready."""
    port = free_port()
    command = ["-m", "concordat", "run", "embedded", "--port", str(port), "--data", str(folder)]
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        took = until_ready(process, f"http://127.0.0.1:{port}/changes/readyz")
        yield psutil.Process(process.pid), took
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def memory(process: psutil.Process) -> tuple[float, float]:
    """MiB of the process tree without PostgreSQL, and of the PostgreSQL that runs on its data."""
    data = process.cmdline()[-1]
    servers = [p for p in psutil.process_iter(["name", "cmdline"]) if _is_server(p, data)]
    postgres = [p for server in servers for p in (server, *server.children(recursive=True))]
    own = [p for p in (process, *process.children(recursive=True)) if p not in postgres]
    return _rss(own), _rss(postgres)


def _is_server(process: psutil.Process, data: str) -> bool:
    command = process.info["cmdline"] or []
    return process.info["name"] == "postgres" and any(part.startswith(data) for part in command)


def _rss(processes: list[psutil.Process]) -> float:
    return float(sum(process.memory_info().rss for process in processes) / MIB)
