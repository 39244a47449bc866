"""What an SLA must satisfy to be registered, and which reports it owes."""

from datetime import date

from services.sla.metrics.domain.metric import Metric, check_metric
from shared.calendars.fiscal import Period, PeriodKind, next_period, period_of
from shared.contracts.governance import ExecutableCharter, Party, ReportingObligation
from shared.pure.refusal import Refused

SLA_REPORT = "sla_report"
DEFAULT_OBLIGATION = ReportingObligation(
    key=SLA_REPORT, name="SLA performance report", producer=Party.provider, due_business_day=10
)


def check_sla(effective: date, end: date, agreement: tuple[date, date], metrics: tuple[Metric, ...]) -> None:
    """Refuse dates outside the agreement's, repeated metric keys, and metrics that make no sense."""
    if end <= effective:
        raise Refused("ends_before_start", "An SLA ends after it takes effect.", "/end_date")
    for day, field in ((effective, "effective_date"), (end, "end_date")):
        if not agreement[0] <= day <= agreement[1]:
            message = f"The agreement runs from {agreement[0]} to {agreement[1]}; an SLA lies within."
            raise Refused("outside_agreement", message, f"/{field}")
    keys = [metric.key for metric in metrics]
    for index, metric in enumerate(metrics):
        if metric.key in keys[:index]:
            raise Refused("repeated_key", f"Two metrics are named {metric.key}.", f"/metrics/{index}/key")
        check_metric(metric, f"/metrics/{index}")


def check_not_ended(agreement_ends: date, today: date) -> None:
    """Refuse an SLA under an agreement that is over."""
    if today > agreement_ends:
        message = f"The agreement ended on {agreement_ends}; register the SLA under the one that follows it."
        raise Refused("agreement_ended", message, "/agreement_id")


def report_obligation(charter: ExecutableCharter) -> ReportingObligation:
    """What the charter says about SLA reports; the tenth business day where it says nothing."""
    owed = [duty for duty in charter.reporting if duty.producer is Party.provider]
    named = [duty for duty in owed if duty.key == SLA_REPORT]
    return next(iter([*named, *owed]), DEFAULT_OBLIGATION)


def check_calendar(charter: ExecutableCharter, key: str) -> None:
    """Refuse a calendar the charter does not have."""
    keys = [calendar.key for calendar in charter.calendars]
    if key not in keys:
        raise Refused("unknown_calendar", f"The charter has the calendars {', '.join(keys)}.", "/calendar")


def first_period(kind: PeriodKind, effective: date, end: date, today: date) -> Period | None:
    """The first period to report: nobody owes reports for the time before the SLA was registered."""
    period = period_of(kind, max(effective, today))
    return period if period.start_date <= end else None


def following(period: Period, ends: date) -> Period | None:
    """The next period to report, while the SLA still lasts into it."""
    after = next_period(period)
    return after if after.start_date <= ends else None
