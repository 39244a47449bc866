"""Selects worth a name. Row-level security already hides what the caller may not see."""

from datetime import UTC, date, datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from services.sla.domain.agreements import AgreementKind
from services.sla.domain.observations import Observation, ObservationKind
from services.sla.domain.reports import ReportState
from services.sla.domain.windows import Window
from services.sla.models import Agreement, ObservationRow, Report, ReportResult, Review, Sla
from shared.data.session import Versioned
from shared.reviews.domain import ReviewState
from shared.web.problems import NotFound

V = TypeVar("V")
R = TypeVar("R", bound=Versioned)

BATCH = 50
_UNPUBLISHED = (ReportState.scheduled, ReportState.drafted)


def agreements(kind: AgreementKind | None, charter_id: UUID | None) -> Select[Agreement]:
    return select(Agreement).where(
        *_given(Agreement.kind, kind),
        *_given(Agreement.charter_id, charter_id),
    )


def slas(agreement_id: UUID | None, charter_id: UUID | None) -> Select[Sla]:
    return select(Sla).where(*_given(Sla.agreement_id, agreement_id), *_given(Sla.charter_id, charter_id))


def reports(
    sla_id: UUID | None, state: ReportState | None, period: str | None, overdue: bool | None
) -> Select[Report]:
    """Reports; `overdue` asks for those that were, or were not, published too late."""
    return select(Report).where(
        *_given(Report.sla_id, sla_id),
        *_given(Report.state, state),
        *_given(Report.period, period),
        *_given(Report.overdue_at.is_not(None), overdue),
    )


def _given(column: ColumnElement[V] | InstrumentedAttribute[V], value: V | None) -> list[ColumnElement[bool]]:
    return [] if value is None else [column == value]


async def report_of(session: AsyncSession, sla_id: UUID, period: str) -> Report | None:
    found = await session.scalars(select(Report).where(Report.sla_id == sla_id, Report.period == period))
    return found.one_or_none()


async def lines(session: AsyncSession, report_id: UUID) -> list[ReportResult]:
    """The lines of a report in the order of the SLA; none for those who may not see a draft."""
    found = await session.scalars(
        select(ReportResult).where(ReportResult.report_id == report_id).order_by(ReportResult.position)
    )
    return list(found)


async def series(
    session: AsyncSession, sla_id: UUID, metric_key: str | None, since: date | None
) -> list[tuple[ReportResult, str]]:
    """Published lines of an SLA with their report's period, oldest first."""
    statement = (
        select(ReportResult, Report.period)
        .join(Report, Report.id == ReportResult.report_id)
        .where(Report.sla_id == sla_id, Report.published_at.is_not(None))
        .order_by(ReportResult.window_end, ReportResult.position)
        .limit(10_000)
    )
    if metric_key is not None:
        statement = statement.where(ReportResult.metric_key == metric_key)
    if since is not None:
        statement = statement.where(Report.period_start >= since)
    return [(line, period) for line, period in await session.execute(statement)]


async def observations_in(
    session: AsyncSession, sla_id: UUID, service: str, window: Window
) -> list[tuple[Observation, str]]:
    """The observations in effect that may bear on a window, each with its fingerprint.

    Checks of the window, and everything else that began before its end and did not end before it.
    """
    later = aliased(ObservationRow)
    superseded = exists().where(
        later.sla_id == ObservationRow.sla_id,
        later.source == ObservationRow.source,
        later.source_id == ObservationRow.source_id,
        later.version > ObservationRow.version,
    )
    found = await session.execute(
        select(*_COLUMNS).where(
            ObservationRow.sla_id == sla_id,
            ObservationRow.service == service,
            ObservationRow.occurred_at < window.end,
            _reaches_into(window),
            ~ObservationRow.deleted,
            ~superseded,
        )
    )
    return [(_observation(row._mapping), row.fingerprint) for row in found]


_FIELDS = [
    ObservationRow.source,
    ObservationRow.source_id,
    ObservationRow.version,
    ObservationRow.kind,
    ObservationRow.service,
    ObservationRow.occurred_at,
    ObservationRow.ended_at,
    ObservationRow.value,
    ObservationRow.good,
    ObservationRow.attributes,
    ObservationRow.pauses,
]
_COLUMNS = [*_FIELDS, ObservationRow.fingerprint]


def _reaches_into(window: Window) -> ColumnElement[bool]:
    is_probe = ObservationRow.kind == ObservationKind.probe
    lasts = or_(ObservationRow.ended_at.is_(None), ObservationRow.ended_at >= window.start)
    return or_(and_(is_probe, ObservationRow.occurred_at >= window.start), and_(~is_probe, lasts))


async def open_review(session: AsyncSession, subject_id: UUID, *, for_update: bool = False) -> Review:
    """The running review of an agreement or SLA."""
    statement = select(Review).where(Review.subject_id == subject_id, Review.state == ReviewState.open)
    row = (await session.scalars(statement.with_for_update() if for_update else statement)).one_or_none()
    if row is None:
        raise NotFound("review")
    return row


async def reviews_to_look_at(session: AsyncSession, now: datetime) -> list[Review]:
    """Open reviews whose clock has something to say; claimed for this transaction."""
    due = select(Review).where(Review.state == ReviewState.open, Review.wakes_at <= now)
    return await _claimed(session, due.order_by(Review.wakes_at))


async def slas_to_report(session: AsyncSession, now: datetime) -> list[Sla]:
    """SLAs whose running period has ended; claimed for this transaction."""
    return await _claimed(session, select(Sla).where(Sla.next_report_at <= now).order_by(Sla.next_report_at))


async def reports_overdue(session: AsyncSession, now: datetime) -> list[Report]:
    """Unpublished reports past their due time and not yet marked; claimed for this transaction."""
    late = select(Report).where(
        Report.due_at < now, Report.overdue_at.is_(None), Report.state.in_(_UNPUBLISHED)
    )
    return await _claimed(session, late.order_by(Report.due_at))


async def reports_unanswered(session: AsyncSession, now: datetime) -> list[Report]:
    """Published reports past the customer's window and not yet marked; claimed for this transaction."""
    late = select(Report).where(
        Report.acknowledge_due < now,
        Report.ack_overdue_at.is_(None),
        Report.state == ReportState.published,
    )
    return await _claimed(session, late.order_by(Report.acknowledge_due))


async def _claimed(session: AsyncSession, statement: Select[R]) -> list[R]:
    return list(await session.scalars(statement.limit(BATCH).with_for_update(skip_locked=True)))


def _observation(row: RowMapping) -> Observation:
    fields = {column.key: row[column.key] for column in _FIELDS}
    pauses = tuple((_moment(start), end and _moment(end)) for start, end in row["pauses"])
    return Observation(**fields | {"pauses": pauses})


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
