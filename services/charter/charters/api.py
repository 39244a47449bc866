"""Charters: drafted together, frozen, signed by both parties."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from services.charter.charters import models, policy, queries
from services.charter.charters.domain.states import CharterState
from services.charter.charters.schemas import (
    Charter,
    CharterCreate,
    CharterDecline,
    CharterPage,
    CharterSign,
    CharterSummary,
    ExecutableCharterIn,
    Validation,
)
from services.charter.charters.service import drafting, ratification
from shared.contracts.governance import ExecutableCharter
from shared.data.listing import Listing
from shared.data.session import Session, load
from shared.pure.refusal import Finding
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, table_of
from shared.web.filters import Several
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router
from shared.web.texts import TEXT, verbatim

router = new_router("charters", prefix="/charter/v1")

MayRead = Annotated[Principal, allow(policy.READ_CHARTER)]
ByVersion = Annotated[Annotated[int, Field(ge=1, le=1_000_000)] | SkipJsonSchema[None], Query()]
CHARTERS = table_of(CharterSummary)


@router.post("/charters", status_code=201, response_model=Charter)
async def create_charter(
    form: CharterCreate,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.DRAFT_CHARTER)],
) -> models.Charter:
    """Start a draft between the caller's organization and another one."""
    return tagged(response, await drafting.draft(session, caller, form, now))


async def _wanted(state: Several[CharterState] = None) -> Listing[models.Charter]:
    return queries.charters(state)


Wanted = Annotated[Listing[models.Charter], Depends(_wanted)]


@router.get("/charters", response_model=CharterPage)
async def list_charters(
    session: Session, page: PageQuery, wanted: Wanted, caller: MayRead
) -> Rows[models.Charter]:
    return await paginate(session, wanted, page)


@router.get("/charters.csv", response_class=CsvStream)
async def export_charters(session: Session, export: Exporting, wanted: Wanted, caller: MayRead) -> CsvStream:
    """The same list for spreadsheets."""
    return await export.of(session, "charters", wanted, CHARTERS)


@router.get("/charters/{charter_id}", response_model=Charter)
async def get_charter(
    charter_id: UUID, response: Response, session: Session, caller: MayRead
) -> models.Charter:
    return tagged(response, await drafting.load_charter(session, charter_id))


@router.get("/charters/{charter_id}/content")
async def get_charter_content(
    charter_id: UUID,
    response: Response,
    session: Session,
    caller: MayRead,
    charter_version: ByVersion = None,
) -> ExecutableCharter:
    """What the text says as it is now, or in a ratified version. The bytes that are signed are at `/text`."""
    return tagged(response, await queries.worded(session, charter_id, charter_version)).read()


@router.get("/charters/{charter_id}/text", response_class=Response, responses=TEXT)
async def get_charter_text(
    charter_id: UUID, session: Session, caller: MayRead, charter_version: ByVersion = None
) -> Response:
    """The exact bytes that both parties sign or have signed, and their hash: what a signature is about."""
    row = await queries.worded(session, charter_id, charter_version)
    return verbatim(row, row.text, row.content_hash, row.text_format)


@router.put("/charters/{charter_id}/content", response_model=Charter)
async def replace_charter_content(
    charter_id: UUID,
    form: ExecutableCharterIn,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.EDIT_CHARTER)],
) -> models.Charter:
    """Replace the whole text of a draft."""
    content = form.as_domain()
    return tagged(
        response, await drafting.replace_content(session, caller, charter_id, content, expected, now)
    )


@router.post("/charters/{charter_id}/validate", response_model=Validation)
async def validate_charter(charter_id: UUID, session: Session, caller: MayRead) -> dict[str, list[Finding]]:
    """Every rule the text breaks, at once."""
    return {"findings": await drafting.check(session, await load(session, models.Charter, charter_id))}


@router.post("/charters/{charter_id}/freeze", response_model=Charter)
async def freeze_charter(
    charter_id: UUID,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.FREEZE_CHARTER)],
) -> models.Charter:
    """Open ratification. A text that breaks rules is refused with all of them."""
    return tagged(response, await drafting.freeze(session, caller, charter_id, expected, now))


@router.post("/charters/{charter_id}/sign", response_model=Charter)
async def sign_charter(
    charter_id: UUID,
    form: CharterSign,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.SIGN_CHARTER)],
) -> models.Charter:
    """Sign the frozen text for the caller's party. The last signature ratifies the charter."""
    return tagged(response, await ratification.sign(session, caller, charter_id, form, expected, now))


@router.post("/charters/{charter_id}/decline", response_model=Charter)
async def decline_charter(
    charter_id: UUID,
    form: CharterDecline,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.DECLINE_CHARTER)],
) -> models.Charter:
    """Send the text back to draft. Signatures given so far are void."""
    row = await ratification.decline(session, caller, charter_id, form.reason, expected, now)
    return tagged(response, row)
