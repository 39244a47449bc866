"""Drafting a charter together: create, replace the text, validate, freeze."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from services.charter.charters import policy, queries
from services.charter.charters.domain.model_charter import model_charter
from services.charter.charters.domain.states import CHARTER, CharterAction, CharterState
from services.charter.charters.domain.text import scope_findings, size_findings, written
from services.charter.charters.domain.validator import validate
from services.charter.charters.models import Charter
from services.charter.charters.schemas import CharterCreate
from services.charter.organizations.models import Organization
from shared.contracts.charter import CharterDrafted, CharterEdited, CharterRatificationOpened
from shared.contracts.governance import TEXT_FORMAT, ExecutableCharter
from shared.data.directory import join_charter, keep_parties
from shared.data.history import Act, record
from shared.data.ids import uuid7
from shared.data.numbering import next_number
from shared.data.session import load, load_for_update
from shared.pure.hashing import sha256_hex
from shared.pure.refusal import Finding, Invalid
from shared.web.authz import NOBODY, Principal, require


async def load_charter(session: AsyncSession, charter_id: UUID) -> Charter:
    """The charter with its signatures."""
    return await with_signatures(session, await load(session, Charter, charter_id))


async def with_signatures(session: AsyncSession, row: Charter) -> Charter:
    """The charter with the signatures that stand under its present text."""
    set_committed_value(row, "signatures", await queries.signatures(session, row))
    return row


async def draft(session: AsyncSession, caller: Principal, form: CharterCreate, now: datetime) -> Charter:
    """Start a charter between two organizations, one of them the caller's."""
    observers = list(dict.fromkeys(form.observer_org_ids))
    _check_sides(form.customer_org_id, form.provider_org_id, observers)
    charter_id = uuid7()
    row = Charter(
        id=charter_id,
        charter_id=charter_id,
        customer_org_id=form.customer_org_id,
        provider_org_id=form.provider_org_id,
        observer_org_ids=observers,
        state=CharterState.draft,
        charter_version=1,
    )
    require_party(caller, row)
    # One series for the platform: a charter cannot number itself, and each party has several.
    row.number = await next_number(session, "CHA", NOBODY, now)
    _write(row, _first_text(form))
    event = CharterDrafted(
        charter_id=row.id,
        number=row.number,
        title=row.title,
        customer_org_id=row.customer_org_id,
        provider_org_id=row.provider_org_id,
        observer_org_ids=tuple(observers),
    )
    await _create(session, caller, row, event, now)
    await record(session, row, Act(policy.DRAFT_CHARTER.name, event), by=caller, now=now)
    return await with_signatures(session, row)


async def _create(
    session: AsyncSession, caller: Principal, row: Charter, drafted: CharterDrafted, now: datetime
) -> None:
    """The charter first, then its parties: row-level security lets only a charter's own parties be named."""
    row.created_at = row.updated_at = now
    row.findings_count = 0
    session.add(row)
    await session.flush()
    await keep_parties(session, drafted)
    await join_charter(session, row.id, caller.org_id)
    await _check_registered(session, [row.customer_org_id, row.provider_org_id, *row.observer_org_ids])
    row.findings_count = len(await check(session, row))


def require_party(caller: Principal, row: Charter) -> None:
    """422 rather than 403: naming two other organizations is a mistake in the request."""
    if caller.org_id not in (row.customer_org_id, row.provider_org_id):
        message = "Your own organization must be the customer or the provider."
        raise Invalid("not_a_party", message, "/customer_org_id")


def _check_sides(customer: UUID, provider: UUID, observers: Sequence[UUID]) -> None:
    if customer == provider:
        message = "Customer and provider must be two organizations."
        raise Invalid("same_organization", message, "/provider_org_id")
    for index, observer in enumerate(observers):
        if observer in (customer, provider):
            message = "A party cannot observe its own charter."
            raise Invalid("observer_is_party", message, f"/observer_org_ids/{index}")


async def _check_registered(session: AsyncSession, org_ids: Sequence[UUID]) -> None:
    """Only now that they share a charter can the caller see them."""
    known = await session.scalar(select(func.count()).where(Organization.id.in_(org_ids)))
    if known != len(org_ids):
        message = "One of the organizations is not registered."
        raise Invalid("unknown_organization", message, "/customer_org_id")


def _first_text(form: CharterCreate) -> ExecutableCharter:
    if form.content is not None:
        return form.content.as_domain()
    model = form.from_model
    assert model is not None  # the form has exactly one of the two
    return model_charter(
        title=model.title,
        services=tuple(model.services),
        effective=model.effective_date,
        annual_order_value=model.annual_order_value,
    )


def _write(row: Charter, content: ExecutableCharter) -> None:
    """Put the text into the row, with everything that is read from it."""
    row.title = content.title
    row.text = written(content)
    row.text_format = TEXT_FORMAT
    row.content_hash = sha256_hex(row.text)
    row.effective_date = content.effective_date
    row.next_review_due = content.next_review_due


async def check(session: AsyncSession, row: Charter) -> list[Finding]:
    """Every finding in the charter's text, against the people it names and the other charters of its parties too."""
    members = await queries.parties_of_members(session, row)
    governed = await queries.governed_elsewhere(session, row)
    content = row.read()
    return [*size_findings(row.text), *validate(content, members), *scope_findings(content, governed)]


async def replace_content(
    session: AsyncSession,
    caller: Principal,
    charter_id: UUID,
    content: ExecutableCharter,
    expected: int,
    now: datetime,
) -> Charter:
    """Replace the whole text of a draft."""
    row = await load_for_update(session, Charter, charter_id, expected)
    require(caller, policy.EDIT_CHARTER, row.scope)
    row.state = CHARTER.next(row.state, CharterAction.edit)
    _write(row, content)
    await join_charter(session, row.id, caller.org_id)
    row.findings_count = len(await check(session, row))
    event = CharterEdited(charter_id=row.id, content_hash=row.content_hash)
    await record(session, row, Act(policy.EDIT_CHARTER.name, event), by=caller, now=now)
    return await with_signatures(session, row)


async def freeze(
    session: AsyncSession, caller: Principal, charter_id: UUID, expected: int, now: datetime
) -> Charter:
    """Open ratification: from now on the text stands still. Refuses with every finding at once."""
    row = await load_for_update(session, Charter, charter_id, expected)
    require(caller, policy.FREEZE_CHARTER, row.scope)
    row.state = CHARTER.next(row.state, CharterAction.freeze)
    await join_charter(session, row.id, caller.org_id)
    broken = await check(session, row)
    if broken:
        message = f"The text breaks {len(broken)} rules; see errors."
        raise Invalid("charter_invalid", message, findings=broken)
    event = CharterRatificationOpened(charter_id=row.id, content_hash=row.content_hash)
    await record(session, row, Act(policy.FREEZE_CHARTER.name, event), by=caller, now=now)
    return await with_signatures(session, row)
