"""Routing by the model charter: the bounds themselves, and what a refusal says."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from services.changes.matters.domain.impact import ImpactValue
from services.changes.matters.domain.routing import RequestReason, Route, route
from services.charter.charters.domain.model_charter import model_charter
from shared.contracts.governance import SAVINGS, DecisionRight, ExecutableCharter, LimitKind
from shared.pure.refusal import Refusal

NOTHING: dict[str, ImpactValue] = {
    "cost_one_time": 0,
    "cost_annual": 0,
    "schedule_days": 0,
    "sla_effect": "none",
    "security_impact": "none",
}


AMOUNTS = (
    "cost_one_time",
    "cost_annual",
    "schedule_days",
    "cost_variance_percent",
    "schedule_variance_percent",
)
LEVELS = (
    "sla_effect",
    "security_impact",
    "risk_acceptance",
    "sla_dispute",
    "cap_approval",
    "charter_amendment",
    "agreement",
    "calendar",
)


@pytest.fixture(scope="module")
def charter() -> ExecutableCharter:
    return model_charter(
        title="O&M",
        services=("Payroll",),
        effective=date(2026, 10, 15),
        annual_order_value=Decimal(4800000),
    )


def routed(charter: ExecutableCharter, **impact: ImpactValue) -> Route:
    return route(charter, NOTHING | impact)


@pytest.mark.parametrize(
    ("impact", "body"),
    [
        ({}, "jowg"),
        ({"cost_one_time": Decimal(25000)}, "jowg"),
        ({"cost_one_time": "25000.00"}, "jowg"),
        ({"cost_one_time": Decimal("25000.01")}, "smb"),
        ({"cost_one_time": "180000", "schedule_days": 15}, "smb"),
        ({"cost_one_time": Decimal(250000)}, "smb"),
        ({"cost_one_time": Decimal("250000.01")}, "esc"),
        ({"cost_one_time": Decimal(1000000)}, "esc"),
        ({"cost_one_time": Decimal("1000000.01")}, "esf"),
        ({"cost_annual": Decimal("10000.01")}, "smb"),
        ({"cost_annual": Decimal(480000)}, "esc"),
        ({"cost_annual": Decimal("480000.01")}, "esf"),
        ({"schedule_days": 5}, "jowg"),
        ({"schedule_days": 6}, "smb"),
        ({"schedule_days": 60}, "esc"),
        ({"schedule_days": 61}, "esf"),
        ({"cost_variance_percent": "9.999"}, "jowg"),
        ({"cost_variance_percent": 10}, "esc"),
        ({"cost_variance_percent": "29.99"}, "esc"),
        ({"cost_variance_percent": 30}, "esf"),
        ({"savings_one_time": "999999999", "savings_annual": 4}, "jowg"),
        ({"sla_effect": "waiver_one_period"}, "smb"),
        ({"sla_effect": "target_change"}, "esc"),
        ({"sla_effect": "remove_sla"}, "esf"),
        ({"security_impact": "low"}, "jowg"),
        ({"security_impact": "moderate"}, "smb"),
        ({"security_impact": "low", "cost_one_time": "300000"}, "esc"),
        ({"charter_amendment": "minor"}, "smb"),
    ],
)
def test_the_lowest_body_that_covers_every_dimension_decides(
    charter: ExecutableCharter, impact: dict[str, ImpactValue], body: str
) -> None:
    assert routed(charter, **impact).body == body


def test_a_percentage_of_a_reference_amount_is_exact(charter: ExecutableCharter) -> None:
    # A third of a cent would vanish in binary or in 28 digits.
    odd = replace(
        charter, reference_amounts={"annual_order_value": Decimal("4800000.000000000000000000000001")}
    )
    assert routed(odd, cost_annual=Decimal(480000)).body == "esc"
    assert routed(odd, cost_annual=Decimal("480000.0000000001")).body == "esf"


def test_the_explanation_names_every_dimension_and_the_row_that_grants_it(charter: ExecutableCharter) -> None:
    result = routed(charter, cost_one_time="180000", schedule_days=15)
    assert result.rules == {
        "cost_one_time": "cost_one_time/t2",
        "cost_annual": "cost_annual/t2",
        "schedule_days": "schedule_days/t2",
        "sla_effect": "sla_effect/t2",
        "security_impact": "security_impact/t2",
    }
    lowest = {line.dimension: line.lowest_body for line in result.explanation}
    assert lowest == {
        "cost_one_time": "smb",
        "schedule_days": "smb",
        "cost_annual": "jowg",
        "sla_effect": "jowg",
        "security_impact": "jowg",
    }


@pytest.mark.parametrize(
    ("impact", "sentence"),
    [
        (
            {"cost_one_time": "180000"},
            "Service Management Board may decide cost one time up to and including $250,000; here it is $180,000.",
        ),
        (
            {"cost_annual": "200000"},
            "Executive Steering Committee may decide cost annual up to and including "
            "10 % of annual order value ($480,000); here it is $200,000.",
        ),
        (
            {"cost_variance_percent": "12.5"},
            "Executive Steering Committee may decide cost variance below 30 %; here it is 12.5 %.",
        ),
        (
            {"sla_effect": "waiver_one_period"},
            "Service Management Board may decide sla effect when it is none or waiver one period; "
            "here it is waiver one period.",
        ),
        (
            {"schedule_days": 61},
            "Executive Sponsors Forum may decide schedule without limit; here it is 61 business days.",
        ),
    ],
)
def test_the_explanation_reads_in_plain_words(
    charter: ExecutableCharter, impact: dict[str, ImpactValue], sentence: str
) -> None:
    lines = {line.dimension: line.text for line in routed(charter, **impact).explanation}
    assert lines[next(iter(impact))] == sentence


def test_an_unknown_required_dimension_asks_to_assess_first(charter: ExecutableCharter) -> None:
    with pytest.raises(Refusal) as refused:
        route(
            charter, {"cost_one_time": 10, "sla_effect": "none", "security_impact": "none", "cost_annual": 0}
        )
    assert (refused.value.code, refused.value.pointer) == ("assess_first", "/impact/schedule_days")
    assert "schedule_days" in refused.value.message


def test_a_provisional_route_tells_what_is_still_missing(charter: ExecutableCharter) -> None:
    result = route(charter, {"cost_one_time": "180000"}, provisional=True)
    assert result.body == "smb"
    assert result.required_missing == ("cost_annual", "schedule_days", "sla_effect", "security_impact")


@pytest.mark.parametrize(
    ("requested", "reason", "code"),
    [
        ("jowg", RequestReason.contentious, "lower_than_computed"),
        ("esc", None, "reason_code_required"),
        ("eca", RequestReason.contentious, "unknown_body"),
        ("nowhere", RequestReason.contentious, "unknown_body"),
    ],
)
def test_a_proposer_may_only_ask_for_a_higher_body_and_must_say_why(
    charter: ExecutableCharter, requested: str, reason: RequestReason | None, code: str
) -> None:
    impact = NOTHING | {"cost_one_time": "180000"}
    with pytest.raises(Refusal) as refused:
        route(charter, impact, requested_body=requested, reason_code=reason)
    assert refused.value.code == code


@pytest.mark.parametrize("reason", list(RequestReason))
def test_a_higher_body_decides_when_asked_for_with_a_reason_code(
    charter: ExecutableCharter, reason: RequestReason
) -> None:
    result = route(charter, NOTHING, requested_body="esc", reason_code=reason)
    assert (result.body, result.tier, result.computed_body) == ("esc", 3, "jowg")
    assert result.rules["cost_one_time"] == "cost_one_time/t3"


def test_asking_for_the_computed_body_needs_no_reason(charter: ExecutableCharter) -> None:
    assert route(charter, NOTHING, requested_body="jowg").body == "jowg"


def test_the_emergency_authority_decides_emergency_changes_even_before_they_are_assessed(
    charter: ExecutableCharter,
) -> None:
    result = route(charter, {"cost_one_time": "900000"}, emergency=True)
    assert (result.body, result.rules) == ("eca", {"cost_one_time": "emergency/eca"})


def test_an_emergency_authority_with_limits_of_its_own_decides_only_within_them(
    charter: ExecutableCharter,
) -> None:
    limit = DecisionRight(
        id="eca/cost",
        dimension="cost_one_time",
        body="eca",
        kind=LimitKind.at_most,
        amount=Decimal(50000),
    )
    others = tuple(
        DecisionRight(id=f"eca/{d}", dimension=d, body="eca", kind=LimitKind.any)
        for d in NOTHING
        if d != "cost_one_time"
    )
    limited = replace(charter, decision_rights=(*charter.decision_rights, limit, *others))
    assert route(limited, NOTHING | {"cost_one_time": 50000}, emergency=True).body == "eca"
    assert route(limited, NOTHING | {"cost_one_time": 50001}, emergency=True).body == "smb"
    with pytest.raises(Refusal, match="Assess"):
        route(limited, {"cost_one_time": 50000}, emergency=True)


@pytest.mark.parametrize(
    ("impact", "code", "pointer"),
    [
        ({"cost_one_time": "NaN"}, "impact_not_a_number", "/impact/cost_one_time"),
        ({"cost_one_time": "1e9"}, "impact_not_a_number", "/impact/cost_one_time"),
        ({"cost_one_time": "cheap"}, "impact_not_a_number", "/impact/cost_one_time"),
        ({"weather/rain": "mild"}, "unknown_dimension", "/impact/weather~1rain"),
        *(
            ({dimension: amount}, "negative_amount", f"/impact/{dimension}")
            for dimension in (*AMOUNTS, *SAVINGS)
            for amount in ("-999999999", Decimal("-0.01"), "-0")
        ),
        *(
            ({dimension: level}, "unknown_level", f"/impact/{dimension}")
            for dimension in LEVELS
            for level in ("whatever", "None", 0)
        ),
    ],
)
def test_an_impact_the_charter_cannot_measure_is_refused(
    charter: ExecutableCharter, impact: dict[str, ImpactValue], code: str, pointer: str
) -> None:
    with pytest.raises(Refusal) as refused:
        routed(charter, **impact)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_a_refused_level_names_those_that_exist(charter: ExecutableCharter) -> None:
    with pytest.raises(Refusal) as refused:
        routed(charter, sla_effect="whatever")
    assert "none, waiver_one_period, target_change, remove_sla" in refused.value.message


@pytest.mark.parametrize("dimension", LEVELS)
def test_every_level_the_charter_names_finds_a_body_and_the_last_is_for_the_top_alone(
    charter: ExecutableCharter, dimension: str
) -> None:
    tiers = [routed(charter, **{dimension: level}).tier for level in charter.levels_of_dimensions[dimension]]
    assert tiers == sorted(tiers)
    assert tiers[-1] == 4 or dimension == "calendar"


def test_savings_are_recorded_and_explain_nothing(charter: ExecutableCharter) -> None:
    result = routed(charter, savings_annual="12000000")
    assert (result.body, set(result.rules)) == ("jowg", set(NOTHING))


def test_an_impact_beyond_every_body_is_refused_by_name(charter: ExecutableCharter) -> None:
    capped = replace(
        charter,
        decision_rights=tuple(r for r in charter.decision_rights if r.id != "cost_one_time/t4"),
    )
    with pytest.raises(Refusal) as refused:
        routed(capped, cost_one_time="2000000")
    assert (refused.value.code, refused.value.pointer) == ("no_competent_body", "/impact/cost_one_time")


def test_a_percentage_without_its_reference_amount_is_refused(charter: ExecutableCharter) -> None:
    bare = replace(charter, reference_amounts=None)
    with pytest.raises(Refusal) as refused:
        routed(bare, cost_annual="200000")
    assert refused.value.code == "reference_amount_missing"
