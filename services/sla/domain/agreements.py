"""What an agreement and an SLA must satisfy to be registered."""

import re
from datetime import date
from decimal import Decimal
from enum import StrEnum

from services.sla.domain.metrics import Metric, check_metric
from shared.contracts.governance import ExecutableCharter, Party, ReportingObligation
from shared.pure.refusal import Refusal

SLA_REPORT = "sla_report"
DEFAULT_OBLIGATION = ReportingObligation(
    key=SLA_REPORT, name="SLA performance report", producer=Party.provider, due_business_day=10
)
_GTC_NUMBER = re.compile(r"A\d{4}-\d{3}-\d{3}-\d{6}", re.ASCII)


class AgreementKind(StrEnum):
    """The instrument: federal general terms and conditions (FS Form 7600A), a contract, or a memorandum."""

    IAA_GTC = "IAA_GTC"
    CONTRACT = "CONTRACT"
    MOU_MOA = "MOU_MOA"


def check_agreement(
    kind: AgreementKind, gtc_number: str | None, amount: Decimal | None, start: date, end: date
) -> None:
    """Refuse dates in the wrong order, a wrong or missing GT&C number, and funds in a memorandum.

    The number reads `AYYMM-REQ-SRV-NNNNNN`: requesting and servicing agency, then six digits.
    """
    if end <= start:
        raise Refusal("ends_before_start", "An agreement ends after it starts.", "/end_date")
    if kind is AgreementKind.IAA_GTC and not _GTC_NUMBER.fullmatch(gtc_number or ""):
        message = "General terms and conditions have a number such as A2610-990-991-000123."
        raise Refusal("invalid_gtc_number", message, "/gtc_number")
    if kind is not AgreementKind.IAA_GTC and gtc_number is not None:
        raise Refusal("no_gtc_number", f"A {kind} has no GT&C number.", "/gtc_number")
    if kind is AgreementKind.MOU_MOA and amount:
        raise Refusal("memorandum_without_funds", "A memorandum moves no funds.", "/total_amount")


def check_sla(effective: date, end: date, agreement: tuple[date, date], metrics: tuple[Metric, ...]) -> None:
    """Refuse dates outside the agreement's, repeated metric keys, and metrics that make no sense."""
    if end <= effective:
        raise Refusal("ends_before_start", "An SLA ends after it takes effect.", "/end_date")
    for day, field in ((effective, "effective_date"), (end, "end_date")):
        if not agreement[0] <= day <= agreement[1]:
            message = f"The agreement runs from {agreement[0]} to {agreement[1]}; an SLA lies within."
            raise Refusal("outside_agreement", message, f"/{field}")
    keys = [metric.key for metric in metrics]
    for index, metric in enumerate(metrics):
        if metric.key in keys[:index]:
            raise Refusal("repeated_key", f"Two metrics are named {metric.key}.", f"/metrics/{index}/key")
        check_metric(metric, f"/metrics/{index}")


def report_obligation(charter: ExecutableCharter) -> ReportingObligation:
    """What the charter says about SLA reports; the tenth business day where it says nothing."""
    owed = [duty for duty in charter.reporting if duty.producer is Party.provider]
    named = [duty for duty in owed if duty.key == SLA_REPORT]
    return next(iter([*named, *owed]), DEFAULT_OBLIGATION)


def check_calendar(charter: ExecutableCharter, key: str) -> None:
    """Refuse a calendar the charter does not have."""
    keys = [calendar.key for calendar in charter.calendars]
    if key not in keys:
        raise Refusal("unknown_calendar", f"The charter has the calendars {', '.join(keys)}.", "/calendar")
