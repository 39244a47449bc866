"""Sessions: one transaction per request or message, always with row-level security switched on."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar
from uuid import UUID

import orjson
from fastapi import Depends, Request
from sqlalchemy import (
    ColumnElement,
    DateTime,
    Numeric,
    Select,
    Text,
    TypeDecorator,
    Uuid,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column
from sqlalchemy.pool import QueuePool

from shared.audit.rows import Entry
from shared.contracts.base import Scope, Visibility
from shared.contracts.governance import Role
from shared.data.ids import uuid7
from shared.pure.refusal import Forbidden, Missing, Stale
from shared.web.authz import NOBODY, Principal

FIRST_ANSWER_SECONDS = 5.0
COMMAND_SECONDS = 15
"""How long the driver waits for an answer before it takes the server for dead."""
TIME_LIMITS: Mapping[str, str] = {
    # Before the driver's own limit, so that a slow statement differs from a server that is silent.
    "statement_timeout": "14s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
}
_WAKE_UPS = "wake_ups"
_SERVICE = "service"
_AS_SYSTEM = text("SELECT set_config('app.scope', 'system', true)")
_BEGIN_AS = text("SELECT member_id, org_id, roles, display_name FROM begin_as(:issuer, :subject, :sysadmin)")

TYPE_MAP: dict[Any, Any] = {
    datetime: DateTime(timezone=True),
    Decimal: Numeric,
    str: Text,
    UUID: Uuid,
    dict[str, Any]: JSONB,
    list[Any]: JSONB,
    list[str]: ARRAY(Text),
    list[UUID]: ARRAY(Uuid),
}


class EnumText(TypeDecorator[Any]):
    """A StrEnum stored as its value in a text column: no native types, so no clashes between schemas."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[Enum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: object) -> str | None:
        return None if value is None else str(self.kind(value).value)

    def process_result_value(self, value: Any, dialect: object) -> Enum | None:
        return None if value is None else self.kind(value)


@cache
def _table_name(model: type[Any]) -> str:
    return str(inspect(model).local_table.name)


@cache
def columns_of(model: type[Any]) -> Mapping[str, str]:
    """The attributes of a mapped class that are columns, each with its column's name."""
    return {attribute: column.name for attribute, column in inspect(model).columns.items()}


class Versioned:
    """A row with an identity and a version (its ETag). New rows start at 0; `record` makes them 1.

    `dated_by` names the column of the row's own time, by which lists take `from` and `to`.
    `changes_silently`: some columns change without a new version, so that the ETag must cover what is shown.
    """

    dated_by: ClassVar[str] = "created_at"
    changes_silently: ClassVar[bool] = False
    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    def __init__(self, **values: Any) -> None:
        # A new row has no former values to remember, so its columns are set without asking the mapper one by one.
        columns = values.keys() & columns_of(type(self)).keys()  # type: ignore[arg-type] # a class is hashable
        super().__init__(**{name: value for name, value in values.items() if name not in columns})
        given = {name: values[name] for name in columns}
        if "id" not in given:
            given["id"] = uuid7()
        vars(self).update({"version": 0}, **given)

    @property
    def timeline(self) -> Sequence[Entry]:
        """What happened to it, oldest first; empty until somebody read it (`shared.data.history.timeline`)."""
        entries: Sequence[Entry] = self.__dict__.get("_timeline", ())
        return entries

    @timeline.setter
    def timeline(self, entries: Sequence[Entry]) -> None:
        self.__dict__["_timeline"] = entries

    @property
    def aggregate(self) -> str:
        """What the audit trail and the events call such a row: its table, unless the class says otherwise."""
        return _table_name(type(self))  # type: ignore[arg-type] # a class is hashable

    @property
    def scope(self) -> Scope:
        return Scope()

    @property
    def owner(self) -> UUID:
        """The organization whose own affair the row is, `NOBODY` for the platform's and for what a charter governs."""
        return NOBODY


class Governed(Versioned):
    """A row under a charter: both parties see it unless `visibility` names one."""

    charter_id: Mapped[UUID] = mapped_column(index=True)
    customer_org_id: Mapped[UUID] = mapped_column(index=True)
    provider_org_id: Mapped[UUID] = mapped_column(index=True)
    visibility: Mapped[Visibility] = mapped_column(Text)

    def __init__(self, **values: Any) -> None:
        super().__init__(**{"visibility": "shared"} | values)

    @property
    def scope(self) -> Scope:
        return Scope(
            charter_id=self.charter_id,
            customer_org_id=self.customer_org_id,
            provider_org_id=self.provider_org_id,
            visibility=self.visibility,
        )


def inherited(parent: Governed, now: datetime) -> dict[str, Any]:
    """The columns a row written under another takes from it: whom it concerns, and when it began."""
    return parent.scope.columns() | {"created_at": now, "updated_at": now}


class OrgOwned(Versioned):
    """A row of one organization that the other party never sees."""

    org_id: Mapped[UUID] = mapped_column(index=True)

    @property
    def owner(self) -> UUID:
        return self.org_id


R = TypeVar("R", bound=Versioned)
V = TypeVar("V")


@dataclass(frozen=True)
class Identity:
    """Who a verified token speaks for, before we looked up what that person is to us."""

    issuer: str
    subject: str
    is_sysadmin: bool = False


class Database:
    """The runtime role's connections of one service. Never hand out a session without a scope."""

    def __init__(
        self,
        url: str,
        schema: str,
        *,
        pool_size: int = 10,
        time_limits: Mapping[str, str] = TIME_LIMITS,
        command_seconds: float | None = COMMAND_SECONDS,
    ) -> None:
        """`time_limits` are server settings; without `command_seconds` a statement may take as long as it takes."""
        self.schema = schema
        self.engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            hide_parameters=True,
            json_serializer=lambda value: orjson.dumps(value, default=_jsonable).decode(),
            json_deserializer=orjson.loads,
            connect_args={
                "timeout": 5,
                "command_timeout": command_seconds,
                "server_settings": {
                    "search_path": schema,
                    "application_name": f"concordat-{schema}",
                    "jit": "off",
                    **time_limits,
                },
            },
        )
        self._sessions = async_sessionmaker(
            self.engine, expire_on_commit=False, autoflush=False, info={_SERVICE: schema}
        )
        self.wake_ups: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """Set after a commit that left work of that name (`wake_after_commit`) to a loop of this process."""

    @asynccontextmanager
    async def system(self) -> AsyncIterator[AsyncSession]:
        """A transaction of the service itself (relay, consumers, timers): it sees every organization."""
        async with self._transaction() as session:
            async with _first_answer(session):
                await session.execute(_AS_SYSTEM)
            yield session

    @asynccontextmanager
    async def acting_as(self, identity: Identity) -> AsyncIterator[tuple[AsyncSession, Principal]]:
        """A transaction in the eyes of one caller: only its organization's rows exist."""
        async with self._transaction() as session:
            async with _first_answer(session):
                principal = await _begin_as(session, identity)
            yield session, principal

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncSession]:
        async with self._sessions() as session:
            async with session.begin():
                yield session
            for name in session.info.get(_WAKE_UPS, ()):
                self.wake_ups[name].set()

    @property
    def connections_in_use(self) -> int:
        pool = self.engine.pool
        return pool.checkedout() if isinstance(pool, QueuePool) else 0

    async def close(self) -> None:
        await self.engine.dispose()


def service_of(session: AsyncSession) -> str:
    """The service this transaction belongs to: what it publishes, it publishes under this name."""
    return str(session.info[_SERVICE])


def wake_after_commit(session: AsyncSession, name: str) -> None:
    """Wake the loop that waits for such work once this commits. Its poll finds what a lost wake-up does not."""
    session.info.setdefault(_WAKE_UPS, set()).add(name)


@asynccontextmanager
async def _first_answer(session: AsyncSession) -> AsyncIterator[None]:
    """Bound the first statement on a connection of the pool: one whose server vanished stays silent for ever."""
    await session.connection()
    async with asyncio.timeout(FIRST_ANSWER_SECONDS):
        yield


def _jsonable(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} does not belong in a JSON column")


def principal_of(row: Any, identity: Identity) -> Principal:
    """The caller as `begin_as` found it: a row with its member, organization, roles and name, or none."""
    known = row is not None and row[0] is not None
    if not known and not identity.is_sysadmin:
        raise Forbidden(
            "not_a_member", "Your identity is known, but no organization has you as a member yet."
        )
    member_id, org_id, roles, name = row[:4] if known else (NOBODY, NOBODY, (), "platform administrator")
    return Principal(
        member_id=member_id,
        org_id=org_id,
        # A role that a later program gives out is none here: it grants nothing that this program knows of.
        roles=frozenset(role for role in Role if role in roles),
        issuer=identity.issuer,
        subject=identity.subject,
        display_name=name,
        is_sysadmin=identity.is_sysadmin,
    )


async def _begin_as(session: AsyncSession, identity: Identity) -> Principal:
    row = (
        await session.execute(
            _BEGIN_AS,
            {"issuer": identity.issuer, "subject": identity.subject, "sysadmin": identity.is_sysadmin},
        )
    ).one_or_none()
    return principal_of(row, identity)


async def load(session: AsyncSession, model: type[R], row_id: UUID) -> R:
    """The row, or `Missing`: a foreign row looks like a missing one."""
    row = await session.get(model, row_id)
    if row is None:
        raise Missing(_readable_name(model))
    return row


async def load_for_update(session: AsyncSession, model: type[R], row_id: UUID, expected: int | None) -> R:
    """The locked row; `Stale` when its version is not the one the caller read."""
    result = await session.execute(
        select(model).where(model.id == row_id).with_for_update().execution_options(populate_existing=True)
    )
    row = result.scalar_one_or_none()
    if row is None:
        raise Missing(_readable_name(model))
    if expected is not None and row.version != expected:
        raise Stale
    return row


def _readable_name(model: type[Versioned]) -> str:
    return str(getattr(model, "__tablename__", model.__name__)).replace("_", " ")


async def _session(request: Request) -> AsyncSession:
    session: AsyncSession = request.state.session
    return session


Session = Annotated[AsyncSession, Depends(_session)]


def given(column: ColumnElement[V] | InstrumentedAttribute[V], value: V | None) -> list[ColumnElement[bool]]:
    """The condition of a filter that may be left out."""
    return [] if value is None else [column == value]


async def claimed(session: AsyncSession, statement: Select[R], limit: int = 50) -> list[R]:
    """A batch of rows for a timer, locked for this transaction; another process takes the others."""
    return list(await session.scalars(statement.limit(limit).with_for_update(skip_locked=True)))
