"""Matters by event: what the services of other subjects say about theirs.

Whatever a rule forbids is answered by an event of the matter. Set aside is only what cannot be answered: a message that
names no charter, other parties than its charter's, or the matter of another subject.
"""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.matters.domain.states import MatterState
from services.changes.matters.models import Matter
from services.changes.matters.service import putting
from services.changes.matters.service.subjects import IN_PROCESS
from shared.contracts.base import Envelope, Received
from shared.contracts.governance import Role
from shared.contracts.matters import (
    MatterOutcomeNotApplied,
    MatterPut,
    MatterSubjectChanged,
    MatterWithdrawAsked,
)
from shared.data.directory import Governance, governance
from shared.data.session import load_for_update
from shared.messaging.projections import Projection
from shared.pure.refusal import Refusal, Refused
from shared.web.authz import SYSTEM

About = MatterPut | MatterSubjectChanged | MatterWithdrawAsked | MatterOutcomeNotApplied


async def put(session: AsyncSession, received: Received[MatterPut], now: datetime) -> None:
    """Open the matter, or say why not. A second put with the same id is the same put, and was answered."""
    if matter := await session.get(Matter, received.event.matter_id):
        _check_sender(matter, received.envelope, received.event)
        return
    charter = await _charter(session, received)
    try:
        # What was begun before a refusal (a clock, a row) is undone.
        async with session.begin_nested():
            await _open(session, received, charter, now)
    except Refusal as refusal:
        await putting.refuse_put(session, received.event, charter, refusal, now)


async def subject_changed(
    session: AsyncSession, received: Received[MatterSubjectChanged], now: datetime
) -> None:
    """New votes on the new text. Once it was decided, the subject itself sees that the decision is not on its text."""
    matter = await _matter(session, received.envelope, received.event)
    if matter.state is MatterState.open and not putting.says_nothing_new(matter, received.event):
        await putting.change_subject(session, matter, received.event, now)


async def withdraw_asked(
    session: AsyncSession, received: Received[MatterWithdrawAsked], now: datetime
) -> None:
    """Take the matter back, or say what it has become."""
    matter = await _matter(session, received.envelope, received.event)
    match matter.state:
        case MatterState.open:
            await putting.withdraw(session, matter, received.event.reason, by=SYSTEM, now=now)
        case MatterState.withdrawn:
            return
        case _:
            await putting.refuse_withdrawal(session, matter, now)


async def outcome_not_applied(
    session: AsyncSession, received: Received[MatterOutcomeNotApplied], now: datetime
) -> None:
    """The decision falls, if it is still the one that counts."""
    matter = await _matter(session, received.envelope, received.event)
    if matter.state is MatterState.decided and matter.decision_id == received.event.decision_id:
        await putting.take_back(session, matter, received.event, now)


BY_EVENT = Projection(
    "matters",
    {
        MatterPut: put,
        MatterSubjectChanged: subject_changed,
        MatterWithdrawAsked: withdraw_asked,
        MatterOutcomeNotApplied: outcome_not_applied,
    },
)


async def _open(
    session: AsyncSession, received: Received[MatterPut], charter: Governance, now: datetime
) -> None:
    form, envelope = received.event, received.envelope
    if form.subject_kind in IN_PROCESS:
        raise Refused("not_by_event", f"A {form.subject_kind} is put through the API of this service.")
    if envelope.visibility != "shared":
        raise Refused("not_shared", "Both parties decide, so share the subject with both before it is put.")
    put_at = min(envelope.time, now)  # the publisher's clock may be ahead of ours
    await putting.put(session, form, charter, roles=_roles(envelope), by=SYSTEM, starts_at=put_at, now=now)


async def _charter(session: AsyncSession, received: Received[MatterPut]) -> Governance:
    """The charter it is put under; `Missing` while it has not arrived here."""
    scope = received.envelope.scope
    if scope.charter_id is None:
        raise Refused("charter_required", "A matter is put under a charter; this one names none.")
    charter = await governance(session, scope.charter_id, received.event.charter_version)
    if (charter.customer_org_id, charter.provider_org_id) != (scope.customer_org_id, scope.provider_org_id):
        raise Refused("other_parties", "The matter names other parties than its charter does.")
    return charter


async def _matter(session: AsyncSession, envelope: Envelope, event: About) -> Matter:
    """The matter, locked; `Missing` while its put has not arrived."""
    matter = await load_for_update(session, Matter, event.matter_id, None)
    _check_sender(matter, envelope, event)
    return matter


def _check_sender(matter: Matter, envelope: Envelope, event: About) -> None:
    """Only the service of its subject speaks about a matter."""
    named = (envelope.charterid, event.subject_kind, event.subject_id)
    if named != (matter.charter_id, matter.subject_kind, matter.subject_id):
        raise Refused("other_subject", f"The matter {matter.id} is about another subject.")
    if matter.subject_kind in IN_PROCESS and matter.state is not MatterState.refused:
        raise Refused("not_by_event", f"A {matter.subject_kind} is changed through the API of this service.")


def _roles(envelope: Envelope) -> frozenset[Role] | None:
    """The roles of whoever put it, as far as we know them; None for what a service put by itself."""
    if envelope.actorid in (None, "system"):
        return None
    given = (envelope.actorrole or "").split(",")
    return frozenset(role for role in Role if role in given)
