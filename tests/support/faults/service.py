"""The service that gets hurt: notes that count their changes, and consumers that write down what they apply.

It extends the toy service's table and policy. Nothing here defends itself: no unique key hides a second effect.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

from fastapi import APIRouter, FastAPI, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Event, Received, Registry
from shared.data.directory import governance
from shared.data.history import Act, record
from shared.data.session import Database, Session, load_for_update
from shared.messaging.bus import Bus
from shared.messaging.consumer import ConsumerRunner, RetryPolicy
from shared.messaging.failures import Permanent
from shared.messaging.projections import Handler, Projection
from shared.runtime.clock import Now, system_clock
from shared.runtime.kernel import Kernel
from shared.runtime.settings import KernelSettings
from shared.web.app import new_app
from shared.web.auth import allow
from shared.web.authz import Principal, require
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router
from shared.web.schemas import In, Text
from tests.support.toy_service import SERVICE, TABLE, WRITE, Note, NoteOut

PREFIX: Final = "/changes/v1/entries"
TABLES: Final = (
    TABLE,
    "CREATE TABLE applied (command text NOT NULL, note_id uuid NOT NULL, version integer NOT NULL)",
    """
    CREATE TABLE effect (n bigint GENERATED ALWAYS AS IDENTITY, consumer text NOT NULL, event_id uuid NOT NULL,
                         note_id uuid NOT NULL, version bigint NOT NULL)
    """,
    "CREATE TABLE obstacle (command text PRIMARY KEY)",
)
IMPATIENT: Final = RetryPolicy(first=0.1, longest=1.0, bug_tries=2)


class NoteChanged(Event):
    """A note got a new version by a command. Tests on a shared broker give it a topic of their own."""

    TYPE: ClassVar[str] = "org.concordat.test.note.changed.v1"
    TOPIC: ClassVar[str] = "concordat.test"
    AGGREGATE: ClassVar[str] = "note"

    note_id: UUID
    command: str


class Entry(In):
    charter_id: UUID
    title: Text


class Step(In):
    command: Text


def entries() -> APIRouter:
    router = new_router("notes", prefix=PREFIX)

    @router.post("", status_code=201, response_model=NoteOut)
    async def create_entry(
        form: Entry,
        response: Response,
        session: Session,
        now: Now,
        caller: Annotated[Principal, allow(WRITE)],
    ) -> Note:
        charter = await governance(session, form.charter_id)
        require(caller, WRITE, charter.scope)
        note = Note(**charter.scope.columns(), title=form.title)
        session.add(note)
        await _change(session, note, form.title, caller, now)
        return tagged(response, note)

    @router.post("/{note_id}/steps", response_model=NoteOut)
    async def add_step(
        note_id: UUID,
        form: Step,
        response: Response,
        session: Session,
        now: Now,
        expected: IfMatch,
        caller: Annotated[Principal, allow(WRITE)],
    ) -> Note:
        note = await load_for_update(session, Note, note_id, expected)
        require(caller, WRITE, note.scope)
        await _change(session, note, form.command, caller, now)
        return tagged(response, note)

    return router


async def _change(session: AsyncSession, note: Note, command: str, caller: Principal, now: Any) -> None:
    event = NoteChanged(note_id=note.id, command=command)
    await record(session, note, Act("note.change", event), by=caller, now=now)
    await session.execute(
        text("INSERT INTO applied VALUES (:command, :note, :version)"),
        {"command": command, "note": note.id, "version": note.version},
    )


def writes_effects(group: str) -> Handler:
    """A handler whose effect is a row. It refuses commands that an `obstacle` stands in the way of."""

    async def handle(session: AsyncSession, received: Received[NoteChanged]) -> None:
        if await session.scalar(
            text("SELECT 1 FROM obstacle WHERE command = :command"), {"command": received.event.command}
        ):
            raise Permanent("an obstacle stands in the way")
        await session.execute(
            text(
                "INSERT INTO effect (consumer, event_id, note_id, version) VALUES (:group, :event, :note, :v)"
            ),
            {
                "group": group,
                "event": received.envelope.id,
                "note": received.envelope.subject,
                "v": received.envelope.sequence,
            },
        )

    return handle


def events() -> Registry:
    known = Registry()
    known.register(NoteChanged)
    return known


def consumer(group: str, bus: Bus, database: Database) -> ConsumerRunner:
    """A member of `group` that applies every note event."""
    effects = Projection("effects", {NoteChanged: writes_effects(group)})
    return ConsumerRunner("changes", group, bus, database.system, [effects], system_clock, policy=IMPATIENT)


@dataclass
class ConsumerWorker:
    """A consumer inside the service's own process, as the product runs it."""

    runner: ConsumerRunner

    async def run(self) -> None:
        await self.runner.run()

    async def stop(self) -> None:
        await self.runner.stop()

    async def run_once(self) -> int:
        return 0


def create_app(settings: KernelSettings, bus: Bus, group: str | None) -> FastAPI:
    """The service; with a group, its process consumes too."""

    def workers(kernel: Kernel) -> tuple[ConsumerWorker, ...]:
        return (ConsumerWorker(consumer(group, bus, kernel.database)),) if group else ()

    return new_app(
        SERVICE,
        settings,
        routers=(entries(),),
        bus=bus,
        clock=system_clock,
        workers=workers,
    )
