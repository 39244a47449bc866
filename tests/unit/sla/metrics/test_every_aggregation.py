"""What holds for every aggregation, by its golden vector; a rule without one fails here."""

import random
from contextlib import nullcontext
from dataclasses import fields, replace
from decimal import Decimal
from typing import get_args, get_type_hints

import pytest

from services.sla.metrics import schemas
from services.sla.metrics.domain.metric import Metric, check_metric
from services.sla.metrics.domain.terms import Aggregation, Comparator
from services.sla.metrics.schemas import METRIC, MetricCreate, as_document
from services.sla.observations.domain.parsing import read_observation
from services.sla.results.domain.result import Result, compute
from shared.pure.refusal import Refused
from tests.support.aggregations import RULES, VECTORS, Vector
from tests.support.measuring import FEDERAL, LONG_AFTER, month

each = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)


def defined(vector: Vector) -> Metric:
    return MetricCreate.model_validate(vector.form).as_domain()


def computed(vector: Vector, rows=None) -> Result:
    observations = [read_observation(row) for row in (vector.rows if rows is None else rows)]
    return compute(defined(vector), observations, month("2026-10"), FEDERAL, LONG_AFTER)


def test_every_rule_has_its_name_its_request_and_its_vector():
    names = {option.default for rule in RULES for option in fields(rule) if option.name == "aggregation"}
    assert names == set(Aggregation)
    assert {vector.rule["aggregation"] for vector in VECTORS} == names
    requests = get_args(get_args(get_type_hints(MetricCreate)["rule"].__value__)[0])
    assert len(requests) == len(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_request_has_the_options_of_its_rule_and_their_defaults(rule):
    request = getattr(schemas, f"{rule.__name__}Create")
    options = {option.name: option.default for option in fields(rule) if option.name != "aggregation"}
    offered = {name: f for name, f in request.model_fields.items() if name != "aggregation"}
    assert offered.keys() == options.keys()
    for name, offer in offered.items():
        default = offer.get_default(call_default_factory=True)
        assert offer.is_required() or default == options[name] or (default, options[name]) == ([], ()), name


@each
def test_a_vector_comes_to_what_was_worked_out_by_hand(vector):
    result = computed(vector)
    assert (str(result.value), str(result.numerator), str(result.denominator), result.n) == (
        vector.exact,
        vector.numerator,
        vector.denominator,
        vector.n,
    )
    assert (result.status, result.display) == (vector.status, vector.display)
    assert result.coverage in (None, 1)


@each
def test_neither_order_nor_repetition_of_the_computation_changes_a_result(vector):
    shuffled = list(vector.rows)
    random.Random(7).shuffle(shuffled)
    assert computed(vector, shuffled) == computed(vector)


@each
def test_nothing_at_all_is_never_a_level_met(vector):
    result = computed(vector, [])
    assert (result.status, result.value, result.n) == (vector.without, None, 0)


@each
def test_a_definition_survives_being_stored_and_says_how_it_measures(vector):
    metric = defined(vector)
    check_metric(metric)
    assert METRIC.validate_python(as_document(metric)) == metric
    assert vector.method in metric.rule.method


@each
def test_shares_are_percentages_and_nothing_else_is(vector):
    is_share = vector.form.get("unit", "%") == "%"
    assert defined(vector).rule.is_ratio is is_share
    above = replace(defined(vector), expected=Decimal(101), minimum=None, comparator=Comparator.gte)
    other_unit = replace(defined(vector), unit="points")
    for changed in (above, other_unit):
        with pytest.raises(Refused) if is_share else nullcontext():
            check_metric(changed)
