"""What holds for every impact and every charter built from a growing decision-rights table."""

from datetime import date
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from services.changes.matters.domain.impact import ImpactValue
from services.changes.matters.domain.routing import RequestReason, competent_order, covers, route
from services.charter.charters.domain.model_charter import model_charter
from shared.contracts.governance import BodyKind

CHARTER = model_charter(
    title="O&M", services=("Payroll",), effective=date(2026, 10, 15), annual_order_value=Decimal(4800000)
)
LEVELS = {
    "sla_effect": ("none", "waiver_one_period", "target_change", "remove_sla"),
    "security_impact": ("none", "low", "moderate", "high", "above_appetite"),
    "risk_acceptance": ("very_low", "low", "moderate", "high", "very_high"),
}
AMOUNTS = (
    "cost_one_time",
    "cost_annual",
    "schedule_days",
    "cost_variance_percent",
    "schedule_variance_percent",
)
# Values near the bounds are where a router goes wrong.
BOUNDS = ["5", "10", "20", "30", "60", "10000", "25000", "100000", "250000", "480000", "1000000"]
near = st.sampled_from(BOUNDS).flatmap(
    lambda bound: st.sampled_from([Decimal("-0.01"), Decimal(0), Decimal("0.01")]).map(
        lambda cent: Decimal(bound) + cent
    )
)
amounts = near | st.decimals(min_value=0, max_value=3_000_000, places=2)
values: dict[str, st.SearchStrategy[ImpactValue]] = {
    **dict.fromkeys(AMOUNTS, amounts),
    **{dimension: st.sampled_from(levels) for dimension, levels in LEVELS.items()},
}
required = {dimension: values[dimension] for dimension in CHARTER.required_dimensions}
optional = {dimension: value for dimension, value in values.items() if dimension not in required}
impacts = st.fixed_dictionaries(required, optional=optional)
TIERS = {body.key: body.tier for body in CHARTER.bodies}


@settings(max_examples=200)
@given(impacts)
def test_the_routed_body_covers_everything_and_no_lower_one_does(impact: dict[str, ImpactValue]) -> None:
    routed = route(CHARTER, impact)
    assert covers(CHARTER, CHARTER.body(routed.body), impact)
    lower = [body for body in competent_order(CHARTER) if body.tier < routed.tier]
    assert not any(covers(CHARTER, body, impact) for body in lower)


@settings(max_examples=200)
@given(impacts, st.data())
def test_raising_any_impact_never_lowers_the_tier(
    impact: dict[str, ImpactValue], data: st.DataObject
) -> None:
    dimension = data.draw(st.sampled_from(sorted(impact)))
    raised = impact | {dimension: data.draw(_at_least(dimension, impact[dimension]))}
    assert route(CHARTER, raised).tier >= route(CHARTER, impact).tier


@settings(max_examples=200)
@given(impacts)
def test_the_explanation_is_complete_and_its_worst_dimension_decides(impact: dict[str, ImpactValue]) -> None:
    routed = route(CHARTER, impact)
    assert {line.dimension for line in routed.explanation} == set(impact)
    granted = {right.id for right in CHARTER.decision_rights if right.body == routed.body}
    assert set(routed.rules.values()) <= granted
    assert max(TIERS[line.lowest_body] for line in routed.explanation) == routed.tier


@settings(max_examples=100)
@given(impacts, st.sampled_from(sorted(TIERS)), st.sampled_from(RequestReason))
def test_asking_for_a_body_never_leads_below_the_computed_one(
    impact: dict[str, ImpactValue], requested: str, reason: RequestReason
) -> None:
    computed = route(CHARTER, impact)
    if TIERS[requested] > computed.tier:
        asked = route(CHARTER, impact, requested_body=requested, reason_code=reason)
        assert (asked.body, asked.computed_body) == (requested, computed.body)


@settings(max_examples=100)
@given(impacts, st.data())
def test_a_provisional_route_is_never_above_the_final_one(
    impact: dict[str, ImpactValue], data: st.DataObject
) -> None:
    known = data.draw(st.sets(st.sampled_from(sorted(impact))))
    part = {dimension: impact[dimension] for dimension in known}
    provisional = route(CHARTER, part, provisional=True)
    assert provisional.tier <= route(CHARTER, impact).tier
    assert set(provisional.required_missing) == set(CHARTER.required_dimensions) - known


@settings(max_examples=50)
@given(impacts)
def test_an_ordinary_change_never_reaches_an_emergency_body(impact: dict[str, ImpactValue]) -> None:
    routed = route(CHARTER, impact)
    assert CHARTER.body(routed.body).kind is BodyKind.standing


def test_the_strategies_speak_of_dimensions_the_charter_knows() -> None:
    assert set(values) <= set(CHARTER.routing_dimensions)


def _at_least(dimension: str, value: ImpactValue) -> st.SearchStrategy[ImpactValue]:
    if dimension in LEVELS:
        levels = LEVELS[dimension]
        return st.sampled_from(levels[levels.index(str(value)) :])
    return amounts.map(lambda other: max(other, Decimal(str(value))))
