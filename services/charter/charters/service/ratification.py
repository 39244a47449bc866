"""Signing the frozen text, declining it, and bringing a ratified charter into force."""

import json
from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.charter.charters import policy, queries
from services.charter.charters.domain.signing import admit
from services.charter.charters.domain.states import CHARTER, CharterAction
from services.charter.charters.domain.text import charter_zone, comparable, scope_findings
from services.charter.charters.models import Charter, CharterService, CharterVersion, Signature
from services.charter.charters.schemas import CharterSign
from services.charter.charters.service.drafting import with_signatures
from services.charter.reviews.service import REVIEWS
from shared.calendars.zones import local_midnight, zone_named
from shared.contracts.charter import CharterActivated, CharterDeclined, CharterSigned
from shared.contracts.governance import ExecutableCharter, Party
from shared.data.directory import join_charter, keep_charter
from shared.data.history import Act, record
from shared.data.ids import uuid7
from shared.data.session import inherited, load_for_update
from shared.pure.refusal import Forbidden, Refused
from shared.reviews.domain import SubjectKind
from shared.runtime.due import schedule
from shared.web.authz import Actor, Principal, require

ACTIVATION = "charter.activation"


async def sign(
    session: AsyncSession,
    caller: Principal,
    charter_id: UUID,
    form: CharterSign,
    expected: int,
    now: datetime,
) -> Charter:
    """Sign for the caller's own party. The last signature ratifies, and activates when it is time."""
    row = await load_for_update(session, Charter, charter_id, expected)
    require(caller, policy.SIGN_CHARTER, row.scope)
    if form.role not in caller.roles:
        raise Forbidden("role_required", f"You are not {form.role} of your organization.")
    row.state = CHARTER.next(row.state, CharterAction.sign)
    await with_signatures(session, row)
    signature = _signature(row, caller, form, now)
    admit(signature.as_signed(), [given.as_signed() for given in row.signatures], row.content_hash)
    session.add(signature)
    await join_charter(session, row.id, caller.org_id)
    await _record_signature(session, caller, row, signature, now)
    await with_signatures(session, row)
    if not row.missing_signatories:
        await _ratify(session, caller, row, now)
    return row


def _party(caller: Principal, row: Charter) -> Party:
    party = caller.party(row.scope)
    assert party is not None  # the policy lets both parties through, and nobody else
    return party


def _signature(row: Charter, caller: Principal, form: CharterSign, now: datetime) -> Signature:
    return Signature(
        **inherited(row, now),
        version=1,
        charter_version=row.charter_version,
        party=_party(caller, row),
        role=form.role,
        member_id=caller.member_id,
        display_name=caller.display_name,
        content_hash=form.content_hash,
    )


async def _record_signature(
    session: AsyncSession, caller: Principal, row: Charter, signature: Signature, now: datetime
) -> None:
    event = CharterSigned(
        charter_id=row.id,
        content_hash=signature.content_hash,
        party=signature.party,
        role=signature.role,
        member_id=signature.member_id,
    )
    await record(session, row, Act(policy.SIGN_CHARTER.name, event), by=caller, now=now)


async def _ratify(session: AsyncSession, caller: Principal, row: Charter, now: datetime) -> None:
    content = row.read()
    await _claim_services(session, row, content, now)
    zone = charter_zone(content)
    row.activates_at = local_midnight(row.effective_date, zone_named(zone))
    session.add(
        CharterVersion(
            **inherited(row, now),
            version=1,
            charter_version=row.charter_version,
            text=row.text,
            text_format=row.text_format,
            content_hash=row.content_hash,
        )
    )
    await session.flush()
    if row.activates_at <= now:
        await activate(session, caller, row, now)
    else:
        await schedule(session, ACTIVATION, row, row.activates_at)


async def _claim_services(
    session: AsyncSession, row: Charter, content: ExecutableCharter, now: datetime
) -> None:
    """Two charters of the same parties may be signed at the same moment: the database lets one have a service."""
    # In one order, so that two charters with several services in common cannot wait for each other.
    wanted = sorted({comparable(service) for service in content.services_in_scope})
    rows = [{**inherited(row, now), "id": uuid7(), "version": 1, "service": name} for name in wanted]
    claimed = await session.scalars(
        insert(CharterService).values(rows).on_conflict_do_nothing().returning(CharterService.service)
    )
    if len(claimed.all()) < len(wanted):
        taken = next(scope_findings(content, await queries.governed_elsewhere(session, row)))
        raise Refused(taken.code, taken.message)


async def decline(
    session: AsyncSession, caller: Principal, charter_id: UUID, reason: str, expected: int, now: datetime
) -> Charter:
    """Send the text back to draft; the signatures it had are void."""
    row = await load_for_update(session, Charter, charter_id, expected)
    require(caller, policy.DECLINE_CHARTER, row.scope)
    state = CHARTER.next(row.state, CharterAction.decline)
    if row.activates_at is not None:
        raise Refused("already_ratified", "Everybody has signed; the charter takes effect on its date.")
    row.state = state
    await session.execute(
        update(Signature)
        .where(Signature.charter_id == row.id, Signature.voided_at.is_(None))
        .values(voided_at=now, updated_at=now)
    )
    event = CharterDeclined(charter_id=row.id, party=_party(caller, row), reason=reason)
    action = policy.DECLINE_CHARTER.name
    await record(session, row, Act(action, event, {"reason": reason}), by=caller, now=now)
    return await with_signatures(session, row)


async def activate(session: AsyncSession, by: Actor, row: Charter, now: datetime) -> None:
    """Bring a ratified charter into force and open its first review. Idempotent by state."""
    row.state = CHARTER.next(row.state, CharterAction.activate)
    row.activated_at = now
    event = CharterActivated(
        charter_id=row.id,
        number=row.number,
        charter_version=row.charter_version,
        content_hash=row.content_hash,
        customer_org_id=row.customer_org_id,
        provider_org_id=row.provider_org_id,
        observer_org_ids=tuple(row.observer_org_ids),
        effective_date=row.effective_date,
        next_review_due=row.next_review_due,
        content=json.loads(row.text),
        text_format=row.text_format,
    )
    await record(session, row, Act("charter.activate", event), by=by, now=now)
    await keep_charter(session, event)  # its parties stand since the draft, and have joined by signing
    await REVIEWS.open(session, SubjectKind.charter, row, charter_zone(row.read()), now)
