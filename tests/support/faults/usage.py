"""What a process holds at a moment: memory, database connections, threads, files, asyncio tasks (for I14)."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

from tests.support.faults.actors import REPORT_TASKS, tasks_file
from tests.support.faults.history import History
from tests.support.faults.processes import Actor
from tests.support.patience import until

MEGABYTE: Final = 1024 * 1024


async def measure(
    history: History, actor: Actor, log_file: Path, moment: str, database_ports: Collection[int]
) -> None:
    """Note a process's usage. `database_ports` are those its database connections lead to."""
    tasks = await _tasks(actor, log_file)
    process = psutil.Process(actor.pid)
    connections = [
        connection
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.raddr.port in database_ports
    ]
    history.note(
        "usage",
        process=actor.name,
        pid=actor.pid,
        moment=moment,
        rss_mb=round(process.memory_info().rss / MEGABYTE, 1),
        connections=len(connections),
        threads=process.num_threads(),
        fds=process.num_fds(),
        tasks=tasks,
    )


async def _tasks(actor: Actor, log_file: Path) -> int:
    """Only the process itself knows."""
    report = tasks_file(log_file, actor.pid)
    actor.signal(REPORT_TASKS)
    await until(report.exists)
    tasks = int(report.read_text())
    report.unlink()
    return tasks
