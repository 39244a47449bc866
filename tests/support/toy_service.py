"""A service of one table, to test the kernel without any of the real ones. It lives in schema `changes`."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, FastAPI, Response
from pydantic import Field
from sqlalchemy import select, text
from sqlalchemy.orm import DeclarativeBase, Mapped

from shared.contracts.changes import ChangeSubmitted, ChangeWithdrawn
from shared.contracts.governance import Party, Role, Severity
from shared.data.directory import governance
from shared.data.history import Act, record
from shared.data.listing import Listing
from shared.data.session import TYPE_MAP, Governed, Session, load, load_for_update
from shared.data.tables import new_metadata
from shared.messaging.bus import Bus
from shared.pure.refusal import Refused
from shared.runtime.clock import Clock, Now
from shared.runtime.kernel import ServiceInfo
from shared.runtime.settings import KernelSettings, settings_config
from shared.web.app import new_app
from shared.web.auth import allow
from shared.web.authz import BOTH, EVERYONE, Action, Principal, require
from shared.web.exports import CsvStream, Exporting, table_of
from shared.web.pages import Page, PageQuery, Rows, paginate
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router
from shared.web.schemas import In, Money, Out, Text

WRITE = Action("note.write", parties=BOTH, roles={Role.om_team})
READ = Action("note.read", parties=EVERYONE)

TABLE = """
CREATE TABLE note (
  id uuid PRIMARY KEY, version integer NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
  charter_id uuid NOT NULL, customer_org_id uuid NOT NULL, provider_org_id uuid NOT NULL, visibility text NOT NULL,
  title text NOT NULL)
"""


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPE_MAP


class Note(Governed, Base):
    __tablename__ = "note"
    title: Mapped[str]


class NoteCreate(In):
    charter_id: UUID
    title: Text
    amount: Money | None = None
    visibility: Annotated[str, Field(pattern="^(shared|customer|provider)$")] = "shared"


class NoteOut(Out):
    id: UUID
    version: int
    title: str


class NotePage(Page[NoteOut]):
    pass


NOTES = Listing(select(Note), Note)
TABLE_OF_NOTES = table_of(NoteOut)


class Settings(KernelSettings):
    model_config = settings_config("CHANGES")


router = new_router("notes", prefix="/changes/v1")


@router.post("/notes", status_code=201, response_model=NoteOut)
async def create_note(
    form: NoteCreate,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(WRITE)],
) -> Note:
    charter = await governance(session, form.charter_id)
    require(caller, WRITE, charter.scope)
    note = Note(**charter.scope.columns() | {"visibility": form.visibility}, title=form.title)
    session.add(note)
    submitted = ChangeSubmitted(
        change_id=note.id, number="N", title=form.title, origin=Party.customer, severity=Severity.low
    )
    await record(session, note, Act("note.write", submitted), by=caller, now=now)
    return tagged(response, note)


@router.get("/notes", response_model=NotePage)
async def list_notes(
    session: Session, page: PageQuery, caller: Annotated[Principal, allow(READ)]
) -> Rows[Note]:
    return await paginate(session, NOTES, page)


@router.get("/notes.csv", response_class=CsvStream)
async def export_notes(
    session: Session, export: Exporting, caller: Annotated[Principal, allow(READ)]
) -> CsvStream:
    return await export.of(session, "notes", NOTES, TABLE_OF_NOTES)


@router.get("/notes/{note_id}", response_model=NoteOut)
async def get_note(
    note_id: UUID, response: Response, session: Session, caller: Annotated[Principal, allow(READ)]
) -> Note:
    return tagged(response, await load(session, Note, note_id))


@router.post("/notes/{note_id}/withdraw", response_model=NoteOut)
async def withdraw_note(
    note_id: UUID,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(WRITE)],
) -> Note:
    note = await load_for_update(session, Note, note_id, expected)
    require(caller, WRITE, note.scope)
    if note.title == "kept":
        raise Refused("kept", "This note must be kept.")
    note.title = "withdrawn"
    event = ChangeWithdrawn(change_id=note.id, number="N", title=note.title, reason="")
    await record(session, note, Act("note.withdraw", event), by=caller, now=now)
    return tagged(response, note)


@router.post("/notes/{note_id}/doom", response_model=NoteOut)
async def doom_note(
    note_id: UUID, response: Response, session: Session, caller: Annotated[Principal, allow(WRITE)]
) -> Note:
    """Everything is well until the commit, which a deferred constraint refuses."""
    note = await load(session, Note, note_id)
    await session.execute(text("INSERT INTO doom VALUES (1), (1)"))
    return tagged(response, note)


SERVICE = ServiceInfo("changes", "Toy", "A toy", Base.metadata, (("notes", "Notes"),))


def create_app(
    settings: KernelSettings,
    bus: Bus | None = None,
    clock: Clock | None = None,
    *,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    assert clock is not None
    return new_app(SERVICE, settings, routers=(router, *routers), bus=bus, clock=clock)
