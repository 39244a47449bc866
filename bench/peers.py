"""The peers: small applications that only do the work compared, without token, policy, audit or events.

Their tables are copies of the service's, so rows have the same columns, sizes and indexes; what they
insert are the rows of the service's latest submission under fresh keys.
"""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bench.load import CONNECTIONS
from services.registry import metadata_of
from shared.data.ids import uuid7

TABLES = {
    "change_request": "WHERE id = ANY({0})",
    "matter": "WHERE id = ANY({0})",
    "due": "WHERE subject_id = ANY({0})",
    "audit": "WHERE object_id = ANY({0})",
    "event": "WHERE aggregate_id = ANY({0})",
    "outbox": "WHERE position IN (SELECT position FROM changes.event WHERE aggregate_id = ANY({0}))",
    "idempotency": "ORDER BY created_at DESC LIMIT 1",
}
"""The tables of one submission, and how its rows are found by the ids of the request and of its matter."""
GENERATED = {"audit": {"id"}, "event": {"position"}}
TYPES = """
    SELECT column_name, udt_name FROM information_schema.columns
     WHERE table_schema = 'changes' AND table_name = $1 AND column_name = ANY($2)
"""
Rows = list[tuple[str, dict[str, Any]]]


class Form(BaseModel):
    """The fields of the service's form, plainly typed."""

    charter_id: str
    title: str
    type: str
    category: str
    description: str
    justification: str
    consequence_of_not_doing: str = ""
    back_out_plan: str = ""
    priority: dict[str, str]
    impact: dict[str, str]


class Created(BaseModel):
    id: str
    number: str


def url() -> str:
    return os.environ["PEER_DATABASE_URL"]


async def connect_pool() -> Any:
    return await asyncpg.create_pool(url(), min_size=CONNECTIONS, max_size=CONNECTIONS, init=with_json)


async def with_json(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda v: orjson.dumps(v).decode(), decoder=orjson.loads
    )


async def latest_rows(connection: Any) -> Rows:
    """The rows the service wrote for its latest submission, without what the database generates."""
    ids = "(SELECT unnest(ARRAY[id, matter_id]) FROM changes.change_request ORDER BY id DESC LIMIT 2)"
    rows: Rows = []
    for table, where in TABLES.items():
        for record in await connection.fetch(f"SELECT * FROM changes.{table} {where.format(ids)}"):
            rows.append((table, {k: v for k, v in record.items() if k not in GENERATED.get(table, ())}))
    return rows


async def described(connection: Any) -> str:
    """The same rows as JSON for a peer of another environment: per table its columns' types, and its rows.

    Bytes are written in hexadecimal, UUIDs and instants as text.
    """
    rows = await latest_rows(connection)
    tables = {}
    for table in TABLES:
        of_table = [row for name, row in rows if name == table]
        types = dict(await connection.fetch(TYPES, table, list(of_table[0])))
        tables[table] = {"table": table, "columns": types, "rows": of_table}
    return orjson.dumps(list(tables.values()), default=_text).decode()


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def fresh(rows: Rows, form: Form) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same rows as a new request: the form's title, and new keys wherever they are unique."""
    request_id = uuid7()
    renamed = dict(zip(ids_of(rows), (request_id, uuid7()), strict=True))
    own: Mapping[str, Any] = {
        "change_request": lambda: {"number": str(request_id), "title": form.title},
        "due": lambda: {"id": uuid7()},
        "event": lambda: {"event_id": uuid7()},
        "outbox": lambda: {"position": uuid7().int >> 65},
        "idempotency": lambda: {"key": str(request_id)},
    }
    for table, row in rows:
        kept = {name: renamed.get(v, v) if isinstance(v, UUID) else v for name, v in row.items()}
        yield table, kept | own.get(table, dict)()


def ids_of(rows: Rows) -> tuple[UUID, UUID]:
    """The ids of the request and of its matter, which other rows refer to."""
    ids = {table: row["id"] for table, row in rows if table in ("change_request", "matter")}
    return ids["change_request"], ids["matter"]


def insert(table: str, row: Mapping[str, Any]) -> str:
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    return f"INSERT INTO peer.{table} ({', '.join(row)}) VALUES ({places})"


def write_asyncpg() -> FastAPI:
    """FastAPI + asyncpg: a pool, one transaction, one INSERT per row."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.pool = await connect_pool()
        async with app.state.pool.acquire() as connection:
            app.state.rows = await latest_rows(connection)
        app.state.statements = [insert(table, row) for table, row in app.state.rows]
        yield
        await app.state.pool.close()

    app = FastAPI(lifespan=lifespan)
    _readiness(app)

    @app.post("/change_requests", status_code=201)
    async def create(form: Form) -> Created:
        rows = list(fresh(app.state.rows, form))
        async with app.state.pool.acquire() as connection, connection.transaction():
            for statement, (_, row) in zip(app.state.statements, rows, strict=True):
                await connection.execute(statement, *row.values())
        return Created(id=str(rows[0][1]["id"]), number=rows[0][1]["number"])

    return app


class Mapped(DeclarativeBase):
    metadata = MetaData(schema="peer")


MODELS: dict[str, Any] = {
    name: type(
        name,
        (Mapped,),
        {"__table__": metadata_of("changes").tables[name].to_metadata(Mapped.metadata, schema="peer")},
    )
    for name in TABLES
}


def write_orm() -> FastAPI:
    """FastAPI + SQLAlchemy ORM: a session by dependency, `add` per row, `commit`."""
    engine = create_async_engine(
        url().replace("postgresql://", "postgresql+asyncpg://"), pool_size=CONNECTIONS, max_overflow=0
    )
    sessions = async_sessionmaker(engine)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        connection = await asyncpg.connect(url())
        await with_json(connection)
        app.state.rows = await latest_rows(connection)
        await connection.close()
        yield
        await engine.dispose()

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    app = FastAPI(lifespan=lifespan)
    _readiness(app)

    @app.post("/change_requests", status_code=201)
    async def create(form: Form, session: Annotated[AsyncSession, Depends(session)]) -> Created:
        rows = list(fresh(app.state.rows, form))
        session.add_all(MODELS[table](**row) for table, row in rows)
        await session.commit()
        return Created(id=str(rows[0][1]["id"]), number=rows[0][1]["number"])

    return app


def read_asyncpg() -> Starlette:
    """Starlette + asyncpg + orjson: the newest 50 requests with their matters, row by row as the tables hold them."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.pool = await connect_pool()
        yield
        await app.state.pool.close()

    async def page(request: Request) -> Response:
        limit = int(request.query_params["limit"])
        query = (
            "SELECT m.*, c.* FROM changes.change_request c LEFT JOIN changes.matter m ON m.id = c.matter_id"
            " ORDER BY c.id DESC LIMIT $1"
        )
        async with request.app.state.pool.acquire() as connection:
            rows = await connection.fetch(query, limit)
        body = orjson.dumps({"items": [dict(row) for row in rows]}, default=str)
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/change_requests", page), Route("/readyz", _ready)], lifespan=lifespan)


async def _ready(request: Request) -> Response:
    return PlainTextResponse("ok")


def _readiness(app: FastAPI) -> None:
    app.add_route("/readyz", _ready)
