"""What results are read from: the observations in effect, and the lines of published reports."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from services.sla.metrics.domain.windows import Window
from services.sla.observations.domain.observation import Observation, ObservationKind
from services.sla.observations.models import ObservationRow
from services.sla.reports.models import Report, ReportResult
from shared.data.listing import Listing, any_of


def series(
    *,
    sla_id: Sequence[UUID] | None = None,
    metric_key: Sequence[str] | None = None,
    charter_id: Sequence[UUID] | None = None,
) -> Listing[ReportResult]:
    """Lines of published reports, each with its report, by the start of their period."""
    wanted = (
        select(ReportResult, Report)
        .join(Report, Report.id == ReportResult.report_id)
        .where(
            Report.published_at.is_not(None),
            *any_of(Report.sla_id, sla_id),
            *any_of(ReportResult.metric_key, metric_key),
            *any_of(Report.charter_id, charter_id),
        )
    )
    return Listing(wanted, ReportResult, dated=Report.period_start)


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


def _observation(row: RowMapping) -> Observation:
    fields = {column.key: row[column.key] for column in _FIELDS}
    pauses = tuple((_moment(start), end and _moment(end)) for start, end in row["pauses"])
    return Observation(**fields | {"pauses": pauses})


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
