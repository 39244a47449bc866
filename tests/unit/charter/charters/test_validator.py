"""Each rule of a charter's text, broken once on the model text."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.charter.charters.domain.clocks import clock_findings
from services.charter.charters.domain.model_charter import model_charter
from services.charter.charters.domain.validator import validate
from shared.calendars.business_time import business_calendar
from shared.contracts.governance import (
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
    Role,
    Seat,
    Severity,
)
from shared.pure.canonical import canonical_json
from shared.pure.refusal import Finding, pointer
from tests.unit.charter.charters.texts import MODEL, changed

JOWG, ECA, SMB, ESC, ESF = range(5)
RIGHT = {row.id: index for index, row in enumerate(MODEL.decision_rights)}
RUNG = {(rung.body, rung.severity): index for index, rung in enumerate(MODEL.ladder)}
LOW_EXECUTIVES = RUNG["esf", Severity.low]


def without(items: tuple[object, ...], index: int) -> tuple[object, ...]:
    return items[:index] + items[index + 1 :]


def body(index: int, **changes: object) -> ExecutableCharter:
    return changed(f"/bodies/{index}", replace(MODEL.bodies[index], **changes))


def right(id: str, **changes: object) -> ExecutableCharter:
    return changed(f"/decision_rights/{RIGHT[id]}", replace(MODEL.decision_rights[RIGHT[id]], **changes))


def seats(index: int, *people: tuple[int, str | None, str | None]) -> ExecutableCharter:
    """The model text with (seat, holder, alternate) named in one body."""
    named = list(MODEL.bodies[index].seats)
    for place, member, alternate in people:
        named[place] = replace(named[place], member_id=member, alternate_id=alternate)
    return body(index, seats=tuple(named))


def extra_right(**fields: object) -> ExecutableCharter:
    row = DecisionRight(
        **{"id": "extra", "dimension": "extra", "body": "esf", "kind": LimitKind.any, **fields}
    )
    return changed("/decision_rights", (*MODEL.decision_rights, row))


def hours(*rows: tuple[int, int, int]) -> ExecutableCharter:
    opening = tuple(OpenHours(weekday=d, opens=time(o), closes=time(c)) for d, o, c in rows)
    return changed("/calendars/0/hours", opening)


def on_a_minute_a_week(**limit: object) -> ExecutableCharter:
    """The model text with the working group on a calendar of its own, and one of its rungs changed."""
    minute = replace(
        MODEL.calendars[0],
        key="minute",
        hours=(OpenHours(weekday=2, opens=time(9), closes=time(9, 1)),),
    )
    index = RUNG["jowg", Severity.high]
    shortest = tuple(
        replace(rung, limit=1, unit=ClockUnit.business_days) if rung.body == "jowg" else rung
        for rung in MODEL.ladder
    )
    return replace(
        MODEL,
        calendars=(*MODEL.calendars, minute),
        bodies=(replace(MODEL.bodies[JOWG], calendar="minute"), *MODEL.bodies[1:]),
        ladder=(*shortest[:index], replace(shortest[index], **limit), *shortest[index + 1 :]),
    )


BROKEN: dict[str, tuple[ExecutableCharter, str, str]] = {
    "no title": (changed("/title", " "), "missing_title", "/title"),
    "authority nobody can read": (changed("/authority", "\u00a0\u2800 "), "missing_authority", "/authority"),
    "outcome that says nothing": (
        changed("/outcomes", ("Pay is right.", "\u3000")),
        "blank_text",
        "/outcomes/1",
    ),
    "no authority": (changed("/authority", ""), "missing_authority", "/authority"),
    "no remediation policy": (
        changed("/remediation_policy", ""),
        "missing_remediation_policy",
        "/remediation_policy",
    ),
    "no service": (changed("/services_in_scope", ()), "missing_service", "/services_in_scope"),
    "no outcome": (changed("/outcomes", ("",)), "missing_outcome", "/outcomes"),
    "review after more than 365 days": (
        changed("/next_review_due", date(2027, 10, 2)),
        "review_too_late",
        "/next_review_due",
    ),
    "review before the effective date": (
        changed("/next_review_due", date(2026, 10, 1)),
        "review_not_after_effective",
        "/next_review_due",
    ),
    "no provider report": (
        changed("/reporting/0/producer", Party.customer),
        "missing_provider_report",
        "/reporting",
    ),
    "report due at once": (
        changed("/reporting/0/due_business_day", 0),
        "days_out_of_range",
        "/reporting/0/due_business_day",
    ),
    "no time to acknowledge": (
        changed("/reporting/0/acknowledge_within_business_days", 0),
        "days_out_of_range",
        "/reporting/0/acknowledge_within_business_days",
    ),
    "no emergency review": (
        changed("/emergency_review_business_days", 0),
        "days_out_of_range",
        "/emergency_review_business_days",
    ),
    "negative notice": (
        changed("/termination_notice_days", -1),
        "days_out_of_range",
        "/termination_notice_days",
    ),
    "empty pause": (
        changed("/pauses/1/max_business_days", 0),
        "days_out_of_range",
        "/pauses/1/max_business_days",
    ),
    "repeated pause": (
        changed("/pauses", (Pause(reason="storm"), Pause(reason="storm"))),
        "duplicate_key",
        "/pauses/1/reason",
    ),
    "repeated body": (
        changed("/bodies", (*MODEL.bodies, MODEL.bodies[JOWG])),
        "duplicate_key",
        "/bodies/5/key",
    ),
    "repeated calendar": (
        changed("/calendars", (*MODEL.calendars, MODEL.calendars[0])),
        "duplicate_key",
        "/calendars/2/key",
    ),
    "repeated report": (changed("/reporting", MODEL.reporting * 2), "duplicate_key", "/reporting/1/key"),
    "repeated right id": (
        extra_right(id="calendar/t4"),
        "duplicate_key",
        f"/decision_rights/{len(RIGHT)}/id",
    ),
    "two tops": (body(ECA, parent=None), "second_top_body", f"/bodies/{ECA}/parent"),
    "unknown parent": (body(ECA, parent="nobody"), "unknown_parent", f"/bodies/{ECA}/parent"),
    "parent of the same tier": (body(ECA, parent="jowg"), "parent_not_higher", f"/bodies/{ECA}/parent"),
    "cycle": (body(ESF, parent="jowg"), "body_cycle", f"/bodies/{ESF}/parent"),
    "own parent": (body(ESF, parent="esf"), "body_cycle", f"/bodies/{ESF}/parent"),
    "one party without a vote": (
        body(ESF, seats=(MODEL.bodies[ESF].seats[0], replace(MODEL.bodies[ESF].seats[1], voting=False))),
        "party_without_seat",
        f"/bodies/{ESF}/seats",
    ),
    "quorum out of reach": (
        body(SMB, quorum=Quorum(customer=2, provider=4)),
        "quorum_unreachable",
        f"/bodies/{SMB}/quorum/provider",
    ),
    "quorum without a party": (
        body(SMB, quorum=Quorum(customer=0, provider=2)),
        "quorum_without_party",
        f"/bodies/{SMB}/quorum/customer",
    ),
    "unknown calendar": (body(SMB, calendar="lunar"), "unknown_calendar", f"/bodies/{SMB}/calendar"),
    "holder without alternate": (
        seats(ESC, (1, "ann", None)),
        "missing_alternate",
        f"/bodies/{ESC}/seats/1/alternate_id",
    ),
    "own alternate": (
        seats(ESC, (1, "ann", "ann")),
        "alternate_is_holder",
        f"/bodies/{ESC}/seats/1/alternate_id",
    ),
    "two seats in one body": (
        seats(ESC, (0, "ann", "bob"), (1, "ann", "bob")),
        "seated_twice",
        f"/bodies/{ESC}/seats/1/member_id",
    ),
    "seats for both parties": (
        seats(ESC, (0, "ann", "bob"), (2, "cyd", "ann")),
        "double_hatting",
        f"/bodies/{ESC}/seats/2/alternate_id",
    ),
    "bad recurrence": (
        body(JOWG, cadence_steady="every Tuesday"),
        "invalid_recurrence",
        f"/bodies/{JOWG}/cadence_steady",
    ),
    "recurrence of no frequency": (
        body(SMB, cadence_stabilization="FREQ=NONSENSE"),
        "invalid_recurrence",
        f"/bodies/{SMB}/cadence_stabilization",
    ),
    "body that meets every hour": (
        body(ESF, cadence_steady="FREQ=HOURLY"),
        "invalid_recurrence",
        f"/bodies/{ESF}/cadence_steady",
    ),
    "service named twice": (
        changed("/services_in_scope", ("Payroll", "Travel", "Payroll")),
        "duplicate_service",
        "/services_in_scope/2",
    ),
    "rung that outlasts its calendar": (
        on_a_minute_a_week(limit=3660, unit=ClockUnit.business_hours),
        "clock_too_long",
        f"/ladder/{RUNG['jowg', Severity.high]}/limit",
    ),
    "rung of too many days for its calendar": (
        on_a_minute_a_week(limit=1041, unit=ClockUnit.business_days),
        "clock_too_long",
        f"/ladder/{RUNG['jowg', Severity.high]}/limit",
    ),
    "report that is never due": (
        changed("/reporting/0", replace(MODEL.reporting[0], due_business_day=5201)),
        "clock_too_long",
        "/reporting/0/due_business_day",
    ),
    "pause without end": (
        changed("/pauses/1", Pause(reason="awaiting_provider_information", max_business_days=5201)),
        "clock_too_long",
        "/pauses/1/max_business_days",
    ),
    "emergency reviewed by nobody alive": (
        changed("/emergency_review_business_days", 5201),
        "clock_too_long",
        "/emergency_review_business_days",
    ),
    "right of an unknown body": (
        extra_right(body="esx", id="x", dimension="calendar"),
        "unknown_body",
        f"/decision_rights/{len(RIGHT)}/body",
    ),
    "two rights of a body in a dimension": (
        extra_right(id="x", dimension="calendar"),
        "duplicate_right",
        f"/decision_rights/{len(RIGHT)}",
    ),
    "limit without amount": (
        right("cost_one_time/t2", amount=None),
        "missing_amount",
        f"/decision_rights/{RIGHT['cost_one_time/t2']}/amount",
    ),
    "negative amount": (
        right("cost_one_time/t1", amount=Decimal(-1)),
        "negative_amount",
        f"/decision_rights/{RIGHT['cost_one_time/t1']}/amount",
    ),
    "any with an amount": (
        right("cost_one_time/t4", amount=Decimal(5)),
        "unexpected_amount",
        f"/decision_rights/{RIGHT['cost_one_time/t4']}/amount",
    ),
    "one of no levels": (
        right("sla_effect/t1", levels=()),
        "missing_levels",
        f"/decision_rights/{RIGHT['sla_effect/t1']}/levels",
    ),
    "an amount with levels": (
        right("cost_one_time/t4", levels=("much",)),
        "unexpected_levels",
        f"/decision_rights/{RIGHT['cost_one_time/t4']}/levels",
    ),
    "a row for savings": (
        extra_right(dimension="savings_annual"),
        "savings_do_not_route",
        f"/decision_rights/{len(MODEL.decision_rights)}/dimension",
    ),
    "percent of nothing": (
        right("cost_annual/t3", percent_of="budget"),
        "unknown_reference_amount",
        f"/decision_rights/{RIGHT['cost_annual/t3']}/percent_of",
    ),
    "reference without value": (
        changed("/reference_amounts", {"annual_order_value": Decimal(4_800_000), "a/b~": Decimal(0)}),
        "reference_amount_not_positive",
        "/reference_amounts/a~1b~0",
    ),
    "no body without limit": (
        right("cost_one_time/t4", kind=LimitKind.at_most, amount=Decimal(9_000_000)),
        "no_terminal_body",
        f"/decision_rights/{RIGHT['cost_one_time/t4']}/kind",
    ),
    "required dimension without rows": (
        changed("/required_dimensions", ("cost_one_time", "training")),
        "dimension_without_rights",
        "/required_dimensions/1",
    ),
    "shrinking amount": (
        right("cost_one_time/t2", amount=Decimal(24_999)),
        "limit_not_growing",
        f"/decision_rights/{RIGHT['cost_one_time/t2']}/amount",
    ),
    "shrinking percentage": (
        changed("/reference_amounts", {"annual_order_value": Decimal(900_000)}),
        "limit_not_growing",
        f"/decision_rights/{RIGHT['cost_annual/t3']}/amount",
    ),
    "band that ends before the cap below": (
        right("schedule_days/t2", kind=LimitKind.below, amount=Decimal(5)),
        "limit_not_growing",
        f"/decision_rights/{RIGHT['schedule_days/t2']}/amount",
    ),
    "lost level": (
        right("security_impact/t2", levels=("none", "moderate")),
        "limit_not_growing",
        f"/decision_rights/{RIGHT['security_impact/t2']}/levels",
    ),
    "no right above a right": (
        right("calendar/t3", kind=LimitKind.none, levels=()),
        "limit_not_growing",
        f"/decision_rights/{RIGHT['calendar/t3']}/kind",
    ),
    "no row above a row": (
        changed("/decision_rights", without(MODEL.decision_rights, RIGHT["calendar/t3"])),
        "gap_above",
        f"/decision_rights/{RIGHT['calendar/t2']}/body",
    ),
    "amount above levels": (
        right("calendar/t3", kind=LimitKind.at_most, amount=Decimal(1), levels=()),
        "mixed_kinds",
        f"/decision_rights/{RIGHT['calendar/t3']}/kind",
    ),
    "rung of an unknown body": (
        changed(f"/ladder/{LOW_EXECUTIVES}/body", "esx"),
        "unknown_body",
        f"/ladder/{LOW_EXECUTIVES}/body",
    ),
    "rung without time": (changed("/ladder/0/limit", 0), "limit_out_of_range", "/ladder/0/limit"),
    "two rungs of a body": (
        changed("/ladder", (*MODEL.ladder, MODEL.ladder[0])),
        "duplicate_rung",
        f"/ladder/{len(MODEL.ladder)}",
    ),
    "a body without a moderate limit": (
        changed(f"/ladder/{RUNG['esf', Severity.moderate]}/limit", None),
        "moderate_without_limit",
        f"/ladder/{RUNG['esf', Severity.moderate]}/limit",
    ),
    "emergency without a clock": (
        changed("/ladder", without(MODEL.ladder, RUNG["eca", Severity.critical])),
        "emergency_without_clock",
        "/ladder",
    ),
    "emergency with a rung that never ends": (
        changed(f"/ladder/{RUNG['eca', Severity.high]}/limit", None),
        "emergency_without_clock",
        "/ladder",
    ),
    "emergency by office hours": (
        body(ECA, calendar="federal"),
        "emergency_calendar_closes",
        f"/bodies/{ECA}/calendar",
    ),
    "emergency authority on leave": (
        changed("/calendars/1/federal_holidays", True),
        "emergency_calendar_closes",
        f"/bodies/{ECA}/calendar",
    ),
    "missing rung": (
        changed("/ladder", without(MODEL.ladder, RUNG["esc", Severity.high])),
        "missing_rung",
        "/ladder",
    ),
    "party without final authority": (
        changed("/final_authorities", MODEL.final_authorities[:1]),
        "missing_final_authority",
        "/final_authorities",
    ),
    "two final authorities of a party": (
        changed("/final_authorities", (*MODEL.final_authorities, MODEL.final_authorities[0])),
        "duplicate_final_authority",
        "/final_authorities/2",
    ),
    "unknown zone": (changed("/calendars/0/zone", "Mars/Olympus"), "unknown_zone", "/calendars/0/zone"),
    "no open hours": (hours(), "calendar_never_opens", "/calendars/0/hours"),
    "unknown weekday": (hours((7, 8, 17)), "invalid_open_hours", "/calendars/0/hours/0/weekday"),
    "hours that end before they begin": (
        hours((0, 17, 8)),
        "invalid_open_hours",
        "/calendars/0/hours/0/closes",
    ),
    "overlapping hours": (hours((0, 8, 12), (0, 11, 17)), "overlapping_hours", "/calendars/0/hours/1"),
    "hours after midnight closed the day": (
        hours((0, 8, 0), (0, 11, 17)),
        "overlapping_hours",
        "/calendars/0/hours/1",
    ),
}

FINE: dict[str, ExecutableCharter] = {
    "the model": MODEL,
    "provider alone in an emergency": body(ECA, quorum=Quorum(customer=0, provider=1)),
    "two shifts a day": hours((0, 8, 12), (0, 12, 17)),
    "open round the clock": hours(*((day, 0, 0) for day in range(7))),
    "everybody seated": seats(ESF, (0, "ann", "bob"), (1, "cyd", "dan")),
    "no executive clock above a rung without one": changed("/ladder", without(MODEL.ladder, LOW_EXECUTIVES)),
    "equal limits on two tiers": right("cost_one_time/t2", amount=Decimal(25_000)),
    "a second emergency authority": replace(
        MODEL,
        bodies=(*MODEL.bodies, replace(MODEL.bodies[ECA], key="hr")),
        ladder=(*MODEL.ladder, *(replace(rung, body="hr") for rung in MODEL.ladder if rung.body == "eca")),
    ),
    "levels that only the top decides": right("sla_effect/t4", levels=("remove_sla", "end_service")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_rule_gives_exactly_one_finding_that_points_at_it(name: str) -> None:
    content, code, at = BROKEN[name]

    assert [(finding.code, finding.pointer) for finding in validate(content)] == [(code, at)]


@pytest.mark.parametrize("name", FINE)
def test_a_valid_text_has_no_finding(name: str) -> None:
    assert validate(FINE[name]) == []


def test_every_broken_rule_is_reported_at_once() -> None:
    content = replace(MODEL, authority="", outcomes=(), bodies=(), ladder=())

    codes = {finding.code for finding in validate(content)}

    assert {"missing_authority", "missing_outcome", "no_bodies", "unknown_body"} <= codes


def test_findings_point_at_values_that_exist_in_the_json() -> None:
    for name, (content, _, at) in BROKEN.items():
        node = json.loads(canonical_json(content))
        for step in at.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            node = node[int(key)] if isinstance(node, list) else node[key]
        assert node is not MODEL, name


def test_a_rule_above_two_lower_bodies_is_compared_with_each() -> None:
    group = replace(MODEL.bodies[JOWG], key="hr")
    row = replace(MODEL.decision_rights[0], id="hr", body="hr", amount=Decimal(300_000))
    rungs = tuple(replace(rung, body="hr") for rung in MODEL.ladder if rung.body == "jowg")
    content = replace(
        MODEL,
        bodies=(*MODEL.bodies, group),
        decision_rights=(*MODEL.decision_rights, row),
        ladder=MODEL.ladder + rungs,
    )

    assert [f.code for f in validate(content)] == ["limit_not_growing"]


@pytest.mark.parametrize(
    ("members", "codes"),
    [
        ({"ann": Party.customer, "bob": Party.customer}, []),
        ({"ann": Party.customer}, ["/bodies/4/seats/0/alternate_id"]),
        ({"ann": Party.provider, "bob": Party.customer}, ["/bodies/4/seats/0/member_id"]),
    ],
)
def test_people_in_seats_are_members_of_the_party(members: dict[str, Party], codes: list[str]) -> None:
    findings = validate(seats(ESF, (0, "ann", "bob")), members)

    assert [finding.pointer for finding in findings if finding.code == "not_a_member"] == codes
    assert len(findings) == len(codes)


def test_a_named_final_authority_is_a_member_of_its_party() -> None:
    content = changed(
        "/final_authorities/0",
        FinalAuthority(party=Party.customer, role=Role.executive_sponsor, member_id="ann"),
    )

    assert validate(content, {"ann": Party.provider}) == [
        Finding(
            "not_a_member",
            "This person is not an active member of the customer.",
            "/final_authorities/0/member_id",
        )
    ]


def test_an_emergency_body_may_decide_more_than_the_body_above_it() -> None:
    row = replace(MODEL.decision_rights[0], id="eca", body="eca", amount=Decimal(999_999))

    assert MODEL.bodies[ECA].kind is BodyKind.emergency
    assert validate(changed("/decision_rights", (*MODEL.decision_rights, row))) == []


def test_only_an_emergency_body_does_not_end_a_dimension() -> None:
    content = extra_right(dimension="training", body="eca")

    assert [finding.code for finding in validate(content)] == ["no_terminal_body"]


def test_a_pointer_escapes_as_rfc_6901_says() -> None:
    assert pointer("a/b", 0, "~") == "/a~1b/0/~0"


@settings(max_examples=60, deadline=None)
@given(
    value=st.decimals(min_value=1_000_000, max_value=10**12, places=2),
    effective=st.dates(date(2020, 1, 1), date(2100, 1, 1)),
)
def test_the_model_charter_is_valid_for_any_order_of_a_million_dollars_and_more(
    value: Decimal, effective: date
) -> None:
    text = model_charter(title="x", services=("Payroll",), effective=effective, annual_order_value=value)

    assert validate(text) == []


_SEATS = st.builds(
    Seat,
    party=st.sampled_from(Party),
    role=st.sampled_from(Role),
    voting=st.booleans(),
    member_id=st.none() | st.sampled_from("abc"),
    alternate_id=st.none() | st.sampled_from("abc"),
)
_KEYS = st.sampled_from(["jowg", "smb", "esc", "x"])


@st.composite
def _texts(draw: st.DrawFn) -> ExecutableCharter:
    """Texts with a random tree, random seats and random limits."""
    bodies = tuple(
        replace(
            template,
            key=draw(_KEYS),
            parent=draw(st.none() | _KEYS),
            tier=draw(st.integers(1, 4)),
            seats=tuple(draw(st.lists(_SEATS, max_size=4))),
        )
        for template in MODEL.bodies
    )
    rights = tuple(replace(row, body=draw(_KEYS)) for row in draw(st.permutations(MODEL.decision_rights)))
    return replace(MODEL, bodies=bodies, decision_rights=rights)


@settings(max_examples=100, deadline=None)
@given(_texts())
def test_any_text_gets_an_answer_and_its_findings_point_into_it(content: ExecutableCharter) -> None:
    document = json.loads(canonical_json(content))

    for finding in validate(content):
        node = document
        for step in finding.pointer.split("/")[1:]:
            node = node[int(step)] if isinstance(node, list) else node[step]


OPEN = st.builds(
    lambda day, hour, minutes: OpenHours(
        weekday=day, opens=time(hour), closes=time(hour + minutes // 60, minutes % 60)
    ),
    st.integers(0, 6),
    st.integers(0, 22),
    st.integers(1, 59),
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(OPEN, min_size=1, max_size=7, unique_by=lambda row: row.weekday),
    limit=st.integers(1, 3660),
    unit=st.sampled_from(ClockUnit),
    years=st.integers(0, 50),
)
def test_a_clock_that_passes_can_be_set_for_half_a_century(
    rows: list[OpenHours], limit: int, unit: ClockUnit, years: int
) -> None:
    calendar = CalendarRules(key="own", zone="America/New_York", hours=tuple(rows))
    text = replace(
        MODEL,
        calendars=(*MODEL.calendars, calendar),
        bodies=(replace(MODEL.bodies[JOWG], calendar="own"), *MODEL.bodies[1:]),
        ladder=(replace(MODEL.ladder[0], body="jowg", limit=limit, unit=unit),),
    )
    if not any(finding.pointer == "/ladder/0/limit" for finding in clock_findings(text)):
        start = datetime(2026 + years, 10, 1, 12, tzinfo=UTC)
        assert business_calendar(calendar).deadline(start, limit, unit) > start
