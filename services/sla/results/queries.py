"""What results are read from: the observations in effect, and the lines of published reports."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from services.sla.metrics.domain.windows import Window
from services.sla.observations.domain.observation import MOMENTS, Observation
from services.sla.observations.models import ObservationRow
from services.sla.reports.models import Report, ReportResult
from shared.data.listing import Listing, any_of

BATCH = 1000
"""Rows that are fetched at once: few enough that nobody waits for the event loop meanwhile."""

# A plan made for any SLA would be kept while the table grows a thousandfold.
_PLAN_EACH_TIME = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")


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


async def observations(
    session: AsyncSession, sla_id: UUID, service: str, window: Window, *, with_ended: bool
) -> AsyncIterator[Sequence[Row[Any]]]:
    """The observations in effect that bear on a window, in batches and in their order of time (`in_time`).

    First what began before the window and lasts into it (`with_ended`: and what had ended, too), then what begins in it.
    """
    await session.execute(_PLAN_EACH_TIME)
    for bearing in (began_before(window, with_ended=with_ended), begins_in(window)):
        result = await session.stream(
            in_effect(sla_id, service, bearing), execution_options={"yield_per": BATCH}
        )
        async for rows in result.partitions():
            yield rows


def in_effect(sla_id: UUID, service: str, bearing: ColumnElement[bool]) -> Select[Any]:
    """Observations of a service that no later version replaced or took back, in their order of time.

    The newest version is looked up by its key for each row: as a sub-select of a scalar it can become no join, and the
    key's is the only index that it can use.
    """
    row, other = ObservationRow, aliased(ObservationRow)
    newest = select(func.max(other.version)).where(
        other.sla_id == row.sla_id, other.source == row.source, other.source_id == row.source_id
    )
    return (
        select(*_COLUMNS)
        .where(row.sla_id == sla_id, row.service == service, ~row.deleted, bearing)
        .where(row.version == newest.scalar_subquery())
        .order_by(
            row.occurred_at,
            row.kind.in_(MOMENTS),
            row.source.collate("C"),
            row.source_id.collate("C"),
        )
    )


def begins_in(window: Window) -> ColumnElement[bool]:
    return and_(ObservationRow.occurred_at >= window.start, ObservationRow.occurred_at < window.end)


def began_before(window: Window, *, with_ended: bool) -> ColumnElement[bool]:
    lasts = or_(ObservationRow.ended_at.is_(None), ObservationRow.ended_at >= window.start)
    return and_(
        ObservationRow.occurred_at < window.start,
        ObservationRow.kind != literal_column("'probe'", Text),
        true() if with_ended else lasts,
    )


def _not_of_probes(column: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """No metric reads these of checks, and most observations are checks: decoding JSON is half the work of a row."""
    return case((ObservationRow.kind == "probe", None), else_=column).label(column.key)


_FIELDS: dict[str, ColumnElement[Any] | InstrumentedAttribute[Any]] = {
    "source": ObservationRow.source,
    "source_id": ObservationRow.source_id,
    "version": ObservationRow.version,
    "kind": ObservationRow.kind,
    "service": ObservationRow.service,
    "occurred_at": ObservationRow.occurred_at,
    "ended_at": ObservationRow.ended_at,
    "value": ObservationRow.value,
    "good": ObservationRow.good,
    "attributes": _not_of_probes(ObservationRow.attributes),
    "pauses": _not_of_probes(ObservationRow.pauses),
}
_COLUMNS = (*_FIELDS.values(), ObservationRow.fingerprint)


def as_observation(row: Row[Any]) -> Observation:
    """The row of `observations` as metrics read it."""
    fields: dict[str, Any] = dict(zip(_FIELDS, row, strict=False))
    fields["attributes"] = fields["attributes"] or {}
    fields["pauses"] = tuple((_moment(start), end and _moment(end)) for start, end in fields["pauses"] or ())
    return Observation(**fields)


def _moment(written: str) -> datetime:
    return datetime.fromisoformat(written).astimezone(UTC)
