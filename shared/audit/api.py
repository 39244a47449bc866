"""The audit routes every service has: the trail, the evidence to take away, and the keys to check it with."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import (
    BigInteger,
    DateTime,
    Integer,
    LargeBinary,
    Row,
    Select,
    Text,
    Uuid,
    column,
    func,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit.chain import EXPORT_FORMAT
from shared.audit.keys import KeyRing, VerifyingKey
from shared.contracts.base import Visibility, rfc3339
from shared.contracts.governance import Role
from shared.data.listing import Times, any_of
from shared.data.session import Database, Identity, Session
from shared.pure.refusal import Missing
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import EVERYONE, Action, Principal
from shared.web.filters import Several
from shared.web.pages import Page, PageQuery, PageRequest, read_cursor, write_cursor
from shared.web.problems import BadRequest
from shared.web.schemas import Out

READ_AUDIT = Action("audit.read", parties=EVERYONE, roles=frozenset(Role), sysadmin=True)
NDJSON = "application/x-ndjson"
BATCH = 500
LONGEST_SEQ = 2**53 - 1

AUDIT = table(
    "audit",
    column("id", BigInteger),
    column("chain", Uuid),
    column("customer_org_id", Uuid),
    column("visibility", Text),
    column("seq", BigInteger),
    column("hash", LargeBinary),
    column("at", DateTime(timezone=True)),
    column("action", Text),
    column("object_type", Text),
    column("object_id", Uuid),
    column("object_version", Integer),
    column("canonical", Text),
)
CHECKPOINT = table(
    "audit_checkpoint",
    column("chain", Uuid),
    column("visibility", Text),
    column("seq", BigInteger),
    column("statement", Text),
    column("signature", LargeBinary),
    column("key_id", Text),
)


class AuditEntry(Out):
    """One act. `seq` and `hash` are null for the second or so until the row is sealed into its chain."""

    chain: UUID = Field(
        description="the charter, else the organization whose own affair it was, else the nil UUID"
    )
    charter_id: UUID | None
    visibility: Visibility
    seq: int | None
    hash: str | None = Field(description="64 hexadecimal digits")
    at: datetime
    action: str
    object_type: str
    object_id: UUID
    object_version: int
    canonical: str = Field(description="the JSON text that is hashed: who, what, when and the details")


class AuditEntryPage(Page[AuditEntry]):
    """A page of the audit trail."""


class AuditKey(Out):
    """A public key that signs, or signed, this service's checkpoints."""

    key_id: str
    algorithm: str = Field(examples=["Ed25519"])
    public_key: str = Field(description="SubjectPublicKeyInfo in PEM")
    current: bool


class AuditKeys(Out):
    """The current key comes first."""

    items: list[AuditKey]


ACTED = Times(own=AUDIT.c.at, changed=AUDIT.c.at)
Reader = Annotated[Principal, allow(READ_AUDIT)]
SinceSeq = Annotated[
    Annotated[int, Field(ge=0, le=LONGEST_SEQ)] | SkipJsonSchema[None],
    Query(
        description="sealed rows of one chain after this number, in their order; ask again with the last "
        "number you got. Needs charter_id; visibility is shared unless given",
    ),
]


async def list_audit_entries(
    session: Session,
    page: PageQuery,
    caller: Reader,
    charter_id: Several[UUID] = None,
    object_id: Several[UUID] = None,
    visibility: Several[Visibility] = None,
    since_seq: SinceSeq = None,
) -> AuditEntryPage:
    """The acts your organization may see, newest first. To follow a charter without a gap, use since_seq."""
    wanted = select(AUDIT).where(*any_of(AUDIT.c.object_id, object_id), *ACTED.within(page.span))
    if since_seq is not None:
        if charter_id is None or len(charter_id) != 1 or len(visibility or ()) > 1:
            raise BadRequest("since_seq_needs_charter", "Numbers count per chain: send one charter_id too.")
        chain = _of_chain(wanted, charter_id[0], (visibility or ["shared"])[0])
        return await _after(session, chain, since_seq, page.limit)
    wanted = wanted.where(*any_of(AUDIT.c.chain, charter_id), *any_of(AUDIT.c.visibility, visibility))
    return await _page(session, wanted, page)


def _of_chain(wanted: Select[Any], chain: UUID, visibility: str) -> Select[Any]:
    return wanted.where(AUDIT.c.chain == chain, AUDIT.c.visibility == visibility)


async def _after(session: AsyncSession, wanted: Select[Any], seq: int, limit: int) -> AuditEntryPage:
    rows = await session.execute(wanted.where(AUDIT.c.seq > seq).order_by(AUDIT.c.seq).limit(limit))
    return AuditEntryPage(items=[_entry(row) for row in rows], next_cursor=None)


async def _page(session: AsyncSession, wanted: Select[Any], page: PageRequest) -> AuditEntryPage:
    if page.cursor is not None:
        last = read_cursor(page.cursor, page.fingerprint()).int
        wanted = wanted.where(AUDIT.c.id < last if page.descending else AUDIT.c.id > last)
    order = AUDIT.c.id.desc() if page.descending else AUDIT.c.id.asc()
    rows = (await session.execute(wanted.order_by(order).limit(page.limit + 1))).all()
    items = [_entry(row) for row in rows[: page.limit]]
    if len(rows) <= page.limit:
        return AuditEntryPage(items=items, next_cursor=None)
    cursor = write_cursor(UUID(int=rows[page.limit - 1].id), page.fingerprint())
    page.link_next(cursor)
    return AuditEntryPage(items=items, next_cursor=cursor)


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        chain=row.chain,
        charter_id=row.chain if row.customer_org_id else None,
        visibility=row.visibility,
        seq=row.seq,
        hash=row.hash.hex() if row.hash else None,
        at=row.at,
        action=row.action,
        object_type=row.object_type,
        object_id=row.object_id,
        object_version=row.object_version,
        canonical=row.canonical,
    )


async def export_audit_chain(
    request: Request,
    session: Session,
    now: Now,
    caller: Reader,
    charter_id: Annotated[
        UUID,
        Query(
            description="or your organization's id for its own affairs, or the nil UUID for the platform's"
        ),
    ],
    visibility: Annotated[
        Visibility, Query(description="your private rows are a chain of their own")
    ] = "shared",
) -> Response:
    """One chain as newline-delimited JSON: header, keys, checkpoints, rows, end. `concordat verify` checks it offline."""
    kernel = request.app.state.kernel
    rows = _of_chain(select(AUDIT), charter_id, visibility)
    if (await session.execute(rows.limit(1))).first() is None:
        raise Missing("audit chain")
    header = {
        "kind": "header",
        "format": EXPORT_FORMAT,
        "service": kernel.info.name,
        "chain": str(charter_id),
        "visibility": visibility,
        "exported_at": rfc3339(now),
    }
    ring = kernel.settings.audit_keys(kernel.info.name)
    opening = [header, *_key_lines(ring), *await _checkpoint_lines(session, charter_id, visibility)]
    last = await session.scalar(_of_chain(select(func.max(AUDIT.c.seq)), charter_id, visibility)) or 0
    name = f"audit-{kernel.info.name}-{charter_id}-{visibility}.ndjson"
    return StreamingResponse(
        _export(kernel.database, caller, opening, rows, last),
        media_type=NDJSON,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _key_lines(ring: KeyRing) -> list[dict[str, object]]:
    return [
        {"kind": "key", "key_id": key.key_id, "algorithm": key.algorithm, "public_key": key.pem}
        for key in ring.published
    ]


async def _checkpoint_lines(session: AsyncSession, chain: UUID, visibility: str) -> list[dict[str, object]]:
    rows = await session.execute(
        select(CHECKPOINT)
        .where(CHECKPOINT.c.chain == chain, CHECKPOINT.c.visibility == visibility)
        .order_by(CHECKPOINT.c.seq)
    )
    return [
        {
            "kind": "checkpoint",
            "statement": row.statement,
            "signature": b64encode(row.signature).decode(),
            "key_id": row.key_id,
        }
        for row in rows
    ]


async def _export(
    database: Database,
    caller: Principal,
    opening: Sequence[Mapping[str, object]],
    rows: Select[Any],
    last: int,
) -> AsyncIterator[str]:
    """Sealed rows never change, so batches of separate transactions make one consistent file.

    No connection is held while a slow client reads.
    """
    for line in opening:
        yield _line(line)
    who = Identity(caller.issuer, caller.subject, caller.is_sysadmin)
    seq = 0
    while seq < last:
        async with database.acting_as(who) as (session, _):
            batch = rows.where(AUDIT.c.seq > seq, AUDIT.c.seq <= last).order_by(AUDIT.c.seq).limit(BATCH)
            page = (await session.execute(batch)).all()
        for row in page:
            yield _line({"kind": "row", "seq": row.seq, "hash": row.hash.hex(), "canonical": row.canonical})
        seq = page[-1].seq if page else last
    yield _line({"kind": "end", "last_seq": last})


def _line(content: Mapping[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def trail(router: APIRouter) -> APIRouter:
    """The routes that show audit rows, on a governed router."""
    router.add_api_route("", list_audit_entries, response_model=AuditEntryPage)
    router.add_api_route(
        "/export",
        export_audit_chain,
        response_class=StreamingResponse,
        responses={200: {"content": {NDJSON: {"schema": {"type": "string"}}}}},
    )
    return router


def keys(service: str, ring: KeyRing) -> APIRouter:
    """The public keys, for anybody: whoever checks an export need not be a member."""
    router = APIRouter(prefix=f"/{service}/v1/audit", tags=["audit"])
    published = AuditKeys(items=[_key(key, ring) for key in ring.published])

    @router.get("/keys", response_model=AuditKeys, openapi_extra={"security": []})
    async def list_audit_keys() -> AuditKeys:
        """The keys that sign this service's checkpoints. Note them where this service cannot change them."""
        return published

    return router


def _key(key: VerifyingKey, ring: KeyRing) -> AuditKey:
    current = key.key_id == ring.signing.public.key_id
    return AuditKey(key_id=key.key_id, algorithm=key.algorithm, public_key=key.pem, current=current)
