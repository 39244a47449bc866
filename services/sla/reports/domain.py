"""The life of a performance report, and what it takes to publish one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from services.sla.results.domain.verdict import ResultStatus
from shared.calendars.business_time import BusinessCalendar
from shared.calendars.fiscal import Period
from shared.calendars.zones import day_in
from shared.pure.refusal import Refused
from shared.pure.transitions import Transitions


class ReportState(StrEnum):
    """Where a report stands. Overdue lies over it, like an acknowledgement that is overdue."""

    scheduled = "scheduled"
    drafted = "drafted"
    published = "published"
    acknowledged = "acknowledged"


class ReportAction(StrEnum):
    """What may be done to a report; `draft` computes it anew as often as needed."""

    draft = "draft"
    comment = "comment"
    publish = "publish"
    acknowledge = "acknowledge"


REPORT = Transitions(
    {
        (ReportState.scheduled, ReportAction.draft): ReportState.drafted,
        (ReportState.drafted, ReportAction.draft): ReportState.drafted,
        (ReportState.drafted, ReportAction.comment): ReportState.drafted,
        (ReportState.drafted, ReportAction.publish): ReportState.published,
        (ReportState.published, ReportAction.acknowledge): ReportState.acknowledged,
    }
)


def check_period_over(ends_at: datetime, now: datetime) -> None:
    """Refuse to compute a report before its period has ended."""
    if now < ends_at:
        message = "The period still runs; its results can be previewed but not reported yet."
        raise Refused("period_not_over", message)


def check_causes(outcomes: Sequence[tuple[str, ResultStatus, str]]) -> None:
    """Refuse to publish a miss, or data missing or too few, without a cause; rows are metric key, status and cause."""
    missing = [key for key, status, cause in outcomes if status.needs_cause and not cause.strip()]
    if missing:
        message = (
            f"Every miss and every gap in the data needs its cause before publication: {', '.join(missing)}."
        )
        raise Refused("cause_missing", message)


def check_commented(keys: Sequence[str], causes: Mapping[str, str]) -> None:
    """Refuse causes for metrics the report does not show."""
    for key in causes:
        if key not in keys:
            raise Refused("unknown_metric", f"The report has no metric {key}.", f"/causes/{key}")


def report_due(period: Period, calendar: BusinessCalendar, business_day: int) -> datetime:
    """When the n-th business day after the period closes."""
    return calendar.end_of_business_day(calendar.business_day_after(period.last_day, business_day))


def acknowledgement_due(published: datetime, calendar: BusinessCalendar, business_days: int) -> datetime:
    """When the n-th business day after the local day of publication closes."""
    day = day_in(calendar.rules.zone, published)
    return calendar.end_of_business_day(calendar.business_day_after(day, business_days))
