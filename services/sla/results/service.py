"""Compute the metrics of an SLA for a period, from the observations in effect."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from services.sla.metrics.domain.metric import Metric
from services.sla.metrics.domain.windows import Window, parse_period, window_in
from services.sla.metrics.schemas import METRICS
from services.sla.results import queries
from services.sla.results.domain.result import Computation, Result, SetHash
from services.sla.results.schemas import Preview
from services.sla.slas.models import Sla
from shared.calendars.business_time import BusinessCalendar, business_calendar
from shared.calendars.fiscal import Period
from shared.data.directory import governance
from shared.data.session import load
from shared.pure.refusal import Invalid, checking_input


class Reading:
    """The metrics of one service over one window: they read its observations together, once."""

    def __init__(self) -> None:
        self.computations: list[Computation] = []
        self._observed = SetHash()

    @property
    def with_ended(self) -> bool:
        return any(computation.metric.rule.reads_ended for computation in self.computations)

    def take(self, rows: Sequence[Row[Any]]) -> None:
        for row in rows:
            self._observed.add(row.fingerprint)
            seen = queries.as_observation(row)
            for computation in self.computations:
                computation.add(seen)

    def results(self) -> list[Result]:
        return [computation.result(self._observed.hexdigest()) for computation in self.computations]


async def calendar_of(session: AsyncSession, sla: Sla) -> BusinessCalendar:
    """The SLA's calendar as the charter in force has it."""
    charter = await governance(session, sla.charter_id)
    return business_calendar(charter.content.calendar(sla.calendar))


async def compute_all(session: AsyncSession, sla: Sla, period: Period, now: datetime) -> list[Result]:
    """Every metric whose window ends with the period, in the order of the SLA.

    Observations are streamed through: memory does not grow with their number. A worker thread does the sums, a batch at
    a time, so that nobody else of this process waits for them.
    """
    calendar = await calendar_of(session, sla)
    readings: defaultdict[tuple[str, Window], Reading] = defaultdict(Reading)
    metrics = METRICS.validate_python(sla.metrics)
    for metric, window in _windows(sla, metrics, period):
        readings[metric.service, window].computations.append(Computation(metric, window, calendar, now))
    by_key: dict[str, Result] = {}
    for (service, window), reading in readings.items():
        batches = queries.observations(session, sla.id, service, window, with_ended=reading.with_ended)
        async for rows in batches:
            await asyncio.to_thread(reading.take, rows)
        by_key |= {result.metric.key: result for result in await asyncio.to_thread(reading.results)}
    return [by_key[metric.key] for metric in metrics if metric.key in by_key]


def _windows(sla: Sla, metrics: Sequence[Metric], period: Period) -> list[tuple[Metric, Window]]:
    life = (sla.effective_date, sla.end_date)
    windows = [(metric, window_in(metric.window, metric.zone, period, *life)) for metric in metrics]
    return [(metric, window) for metric, window in windows if window]


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
    results = await compute_all(session, sla, period, now)
    return Preview.model_validate(
        {"sla_id": sla.id, "period": period.label, "computed_at": now, "results": [*map(as_line, results)]}
    )


def as_line(result: Result) -> dict[str, object]:
    """The result as rows and answers carry it: rounded decimals beside exact fractions."""
    metric, window = result.metric, result.window
    exact = {
        f"{name}_exact": None if (value := getattr(result, name)) is None else str(value)
        for name in ("value", "numerator", "denominator", "gross", "coverage")
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
        "value": result.stored_value,
        "gross": result.stored_gross,
        "coverage": result.stored_coverage,
        "display": result.display,
        "flags": list(result.flags),
        "excluded": [
            {
                "reason": row.reason,
                "count": row.count,
                "minutes": None if row.minutes is None else str(row.minutes),
            }
            for row in result.excluded
        ],
        "calendar_version": result.calendar_version,
        "observation_hash": result.observation_hash,
    }
