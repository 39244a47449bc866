"""Compute the metrics of an SLA for a period, from the observations in effect."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.sla.metrics.domain.measured import stored
from services.sla.metrics.domain.metric import Metric
from services.sla.metrics.domain.windows import Window, parse_period, window_in
from services.sla.metrics.schemas import METRICS
from services.sla.observations.domain.observation import set_hash
from services.sla.results import queries
from services.sla.results.domain import Result, compute
from services.sla.results.schemas import Preview
from services.sla.slas.models import Sla
from shared.calendars.business_time import BusinessCalendar, business_calendar
from shared.calendars.fiscal import Period
from shared.data.directory import governance
from shared.data.session import load
from shared.pure.refusal import Invalid, checking_input


@dataclass(frozen=True)
class Computed:
    """A result with what it was computed from."""

    metric: Metric
    window: Window
    result: Result
    observation_hash: str
    calendar_version: int


async def calendar_of(session: AsyncSession, sla: Sla) -> BusinessCalendar:
    """The SLA's calendar as the charter in force has it."""
    charter = await governance(session, sla.charter_id)
    return business_calendar(charter.content.calendar(sla.calendar))


async def compute_all(session: AsyncSession, sla: Sla, period: Period, now: datetime) -> list[Computed]:
    """Every metric whose window ends with the period, in the order of the SLA."""
    calendar = await calendar_of(session, sla)
    windows = [(metric, window_in(metric, period)) for metric in METRICS.validate_python(sla.metrics)]
    return [
        await _compute(session, sla, metric, window, calendar, now) for metric, window in windows if window
    ]


async def _compute(
    session: AsyncSession,
    sla: Sla,
    metric: Metric,
    window: Window,
    calendar: BusinessCalendar,
    now: datetime,
) -> Computed:
    found = await queries.observations_in(session, sla.id, metric.service, window)
    return Computed(
        metric=metric,
        window=window,
        result=compute(metric, [seen for seen, _ in found], window, calendar, now),
        observation_hash=set_hash(printed for _, printed in found),
        calendar_version=calendar.rules.version,
    )


def period_of_sla(sla: Sla, label: str) -> Period:
    """The period of that label; `Invalid` unless it is one the SLA reports on and lies in its time."""
    with checking_input():
        period = parse_period(label)
    if period.kind is not sla.period:
        raise Invalid("wrong_period", f"This SLA reports by {sla.period.replace('_', ' ')}.", "/period")
    if period.last_day < sla.effective_date or period.start_date > sla.end_date:
        message = f"The SLA runs from {sla.effective_date} to {sla.end_date}."
        raise Invalid("outside_sla", message, "/period")
    return period


async def preview(session: AsyncSession, sla_id: UUID, label: str, now: datetime) -> Preview:
    """Results as they stand now, without storing them."""
    sla = await load(session, Sla, sla_id)
    period = period_of_sla(sla, label)
    computed = await compute_all(session, sla, period, now)
    return Preview.model_validate(
        {"sla_id": sla.id, "period": period.label, "computed_at": now, "results": [*map(as_line, computed)]}
    )


def as_line(computed: Computed) -> dict[str, object]:
    """The result as rows and answers carry it: rounded decimals beside exact fractions."""
    metric, window, result = computed.metric, computed.window, computed.result
    exact = {
        f"{name}_exact": None if (value := getattr(result, name)) is None else str(value)
        for name in ("value", "numerator", "denominator", "gross")
    }
    return exact | {
        "metric_key": metric.key,
        "metric_name": metric.name,
        "service": metric.service,
        "unit": metric.unit,
        "expected": metric.expected,
        "minimum": metric.minimum,
        "window_label": window.label,
        "window_start": window.start,
        "window_end": window.end,
        "status": result.status,
        "n": result.n,
        "value": stored(result.value),
        "gross": stored(result.gross),
        "display": result.display,
        "flags": list(result.flags),
        "excluded": [
            {"reason": row.reason, "count": row.count, "minutes": row.minutes and str(row.minutes)}
            for row in result.excluded
        ],
        "calendar_version": computed.calendar_version,
        "observation_hash": computed.observation_hash,
    }
