"""The model charter: a complete, valid starting text for a customer and a provider.

Thresholds, clocks and quorums are proposals to edit before ratification, not regulation.
"""

from datetime import date, time, timedelta
from decimal import Decimal

from shared.contracts.governance import (
    Body,
    BodyKind,
    CalendarRules,
    ClockUnit,
    DecisionRight,
    ExecutableCharter,
    FinalAuthority,
    LimitKind,
    OpenHours,
    Party,
    Pause,
    Quorum,
    ReportingObligation,
    Role,
    Rung,
    Seat,
    Severity,
)

FEDERAL = "federal"
AROUND_THE_CLOCK = "around_the_clock"
ANNUAL_ORDER_VALUE = "annual_order_value"
REQUIRED_DIMENSIONS = ("cost_one_time", "cost_annual", "schedule_days", "sla_effect", "security_impact")
LADDER_BODIES = ("jowg", "smb", "esc", "esf")
REVIEW_INTERVAL = timedelta(days=365)

_CAPS: dict[str, tuple[str, str, str]] = {
    "cost_one_time": ("25000", "250000", "1000000"),
    "schedule_days": ("5", "20", "60"),
}
_BANDS: dict[str, tuple[str, str, str]] = {
    "cost_variance_percent": ("10", "10", "30"),
    "schedule_variance_percent": ("10", "10", "30"),
}
# What each tier adds to the levels of the tier below; tier 4 decides everything, and these alone.
_LEVELS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "sla_effect": (("none",), ("waiver_one_period",), ("target_change",), ("remove_sla",)),
    "security_impact": (("none", "low"), ("moderate",), ("high",), ("above_appetite",)),
    "risk_acceptance": (("very_low", "low"), ("moderate",), ("high",), ("very_high",)),
    "sla_dispute": ((), ("stage_1",), ("stage_2",), ("final",)),
    "cap_approval": (
        (),
        ("expected_level_miss",),
        ("minimum_level_miss", "chronic_failure"),
        ("repeated_failure",),
    ),
    "charter_amendment": ((), ("minor",), ("major",), ("parties", "term", "termination")),
    "agreement": (
        (),
        ("clarification",),
        ("modification", "renewal_recommendation"),
        ("termination", "non_renewal"),
    ),
    "calendar": ((), ("approve",), ("override",), ()),
}
_DAYS: dict[Severity, tuple[int | None, ...]] = {
    Severity.high: (2, 5, 10, 10),
    Severity.moderate: (5, 10, 15, 20),
    # A low item waits at tier 2; above it nothing drives the clock.
    Severity.low: (10, 20, None, None),
}


def model_charter(
    *, title: str, services: tuple[str, ...], effective: date, annual_order_value: Decimal
) -> ExecutableCharter:
    """The model text. `annual_order_value` is in US dollars: tier 3 decides up to 10 % of it a year."""
    return ExecutableCharter(
        title=title,
        services_in_scope=services,
        outcomes=("Services in scope meet every agreed target; measured by the monthly SLA report.",),
        authority="The general terms and conditions between the parties; bodies may not bind funds.",
        effective_date=effective,
        next_review_due=effective + REVIEW_INTERVAL,
        bodies=_bodies(),
        decision_rights=_decision_rights(),
        ladder=_ladder(),
        final_authorities=tuple(FinalAuthority(party=p, role=Role.executive_sponsor) for p in Party),
        calendars=(_federal_calendar(), _around_the_clock()),
        pauses=tuple(Pause(reason=f"awaiting_{party}_information") for party in Party),
        reporting=(_monthly_sla_report(),),
        reference_amounts={ANNUAL_ORDER_VALUE: annual_order_value},
        required_dimensions=REQUIRED_DIMENSIONS,
        remediation_policy="A missed target opens a corrective action plan that tier 2 approves and verifies.",
    )


def _bodies() -> tuple[Body, ...]:
    return (
        Body(
            key="jowg",
            name="Joint O&M Working Group",
            tier=1,
            parent="smb",
            seats=_both(Role.om_team, Role.om_team),
            quorum=Quorum(customer=1, provider=1),
            cadence_stabilization="FREQ=WEEKLY;BYDAY=TU",
            cadence_steady="FREQ=WEEKLY;INTERVAL=2;BYDAY=TU",
        ),
        Body(
            key="eca",
            name="Emergency Change Authority",
            tier=1,
            kind=BodyKind.emergency,
            parent="smb",
            seats=_both(Role.om_team) + _both(Role.isso, voting=False),
            quorum=Quorum(customer=1, provider=1),
            chair=Party.provider,
            calendar=AROUND_THE_CLOCK,
        ),
        Body(
            key="smb",
            name="Service Management Board",
            tier=2,
            parent="esc",
            seats=_both(Role.om_team, Role.om_team, Role.isso),
            quorum=Quorum(customer=2, provider=2),
            cadence_stabilization="FREQ=WEEKLY;INTERVAL=2;BYDAY=WE",
            cadence_steady="FREQ=MONTHLY;BYDAY=4WE",
        ),
        Body(
            key="esc",
            name="Executive Steering Committee",
            tier=3,
            parent="esf",
            seats=_both(Role.business_owner, Role.business_owner),
            quorum=Quorum(customer=1, provider=1),
            chair=Party.customer,
            cadence_stabilization="FREQ=MONTHLY;BYDAY=2TH",
            cadence_steady="FREQ=YEARLY;BYMONTH=2,5,8,11;BYDAY=2TH",
        ),
        Body(
            key="esf",
            name="Executive Sponsors Forum",
            tier=4,
            seats=_both(Role.executive_sponsor),
            quorum=Quorum(customer=1, provider=1),
            cadence_stabilization="FREQ=YEARLY;BYMONTH=9;BYDAY=2TH",
            cadence_steady="FREQ=YEARLY;BYMONTH=9;BYDAY=2TH",
        ),
    )


def _both(*roles: Role, voting: bool = True) -> tuple[Seat, ...]:
    """The same seats for each party."""
    return tuple(Seat(party=party, role=role, voting=voting) for party in Party for role in roles)


def _decision_rights() -> tuple[DecisionRight, ...]:
    rows: list[DecisionRight] = []
    for dimension, amounts in _CAPS.items():
        rows += _amount_rows(dimension, LimitKind.at_most, amounts)
    rows += _annual_cost_rows()
    for dimension, amounts in _BANDS.items():
        rows += _amount_rows(dimension, LimitKind.below, amounts)
    for dimension, added in _LEVELS.items():
        rows += _level_rows(dimension, added)
    return tuple(rows)


def _amount_rows(dimension: str, kind: LimitKind, amounts: tuple[str, ...]) -> list[DecisionRight]:
    return [
        *(_right(dimension, tier, kind, amount=Decimal(text)) for tier, text in enumerate(amounts, start=1)),
        _right(dimension, 4, LimitKind.any),
    ]


def _annual_cost_rows() -> list[DecisionRight]:
    cap = LimitKind.at_most
    return [
        _right("cost_annual", 1, cap, amount=Decimal(10000)),
        _right("cost_annual", 2, cap, amount=Decimal(100000)),
        _right("cost_annual", 3, cap, amount=Decimal(10), percent_of=ANNUAL_ORDER_VALUE),
        _right("cost_annual", 4, LimitKind.any),
    ]


def _level_rows(dimension: str, added: tuple[tuple[str, ...], ...]) -> list[DecisionRight]:
    rows: list[DecisionRight] = []
    levels: tuple[str, ...] = ()
    *lower, top = added
    for tier, more in enumerate(lower, start=1):
        levels += more
        kind = LimitKind.one_of if levels else LimitKind.none
        rows.append(_right(dimension, tier, kind, levels=levels))
    return [*rows, _right(dimension, 4, LimitKind.any, levels=top)]


def _right(
    dimension: str,
    tier: int,
    kind: LimitKind,
    *,
    amount: Decimal | None = None,
    percent_of: str | None = None,
    levels: tuple[str, ...] = (),
) -> DecisionRight:
    return DecisionRight(
        id=f"{dimension}/t{tier}",
        dimension=dimension,
        body=LADDER_BODIES[tier - 1],
        kind=kind,
        amount=amount,
        percent_of=percent_of,
        levels=levels,
    )


def _ladder() -> tuple[Rung, ...]:
    critical = (
        Rung(body="jowg", severity=Severity.critical, limit=4, unit=ClockUnit.business_hours),
        Rung(body="smb", severity=Severity.critical, limit=1),
        Rung(body="esc", severity=Severity.critical, limit=2),
        Rung(body="esf", severity=Severity.critical, limit=3),
    )
    others = tuple(
        Rung(body=body, severity=severity, limit=days)
        for severity, limits in _DAYS.items()
        for body, days in zip(LADDER_BODIES, limits, strict=True)
    )
    # To authorize acting now; in a calendar that never closes a business hour is an elapsed one.
    emergency = tuple(
        Rung(body="eca", severity=severity, limit=1, unit=ClockUnit.business_hours) for severity in Severity
    )
    return critical + others + emergency


def _federal_calendar() -> CalendarRules:
    hours = tuple(OpenHours(weekday=day, opens=time(8), closes=time(17)) for day in range(5))
    return CalendarRules(key=FEDERAL, zone="America/New_York", hours=hours)


def _around_the_clock() -> CalendarRules:
    hours = tuple(OpenHours(weekday=day, opens=time(0), closes=time(0)) for day in range(7))
    return CalendarRules(key=AROUND_THE_CLOCK, zone="America/New_York", hours=hours, federal_holidays=False)


def _monthly_sla_report() -> ReportingObligation:
    return ReportingObligation(
        key="sla_report", name="SLA performance report", producer=Party.provider, due_business_day=10
    )
