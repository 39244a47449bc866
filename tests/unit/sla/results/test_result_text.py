"""The bytes a report is hashed over: what they say stays said."""

import json
from decimal import Decimal

from services.sla.metrics.domain.metric import Metric
from services.sla.metrics.schemas import METRICS
from services.sla.results.domain.result import result_text
from tests.support.measuring import metric, probes, result_of

BEGINNING = b'{"results":[{"calendar_version":1,"coverage":null,"denominator":"10","excluded":[],"flags":["coverage_not_stated"]'


def text_of(measured: Metric, good: int = 9, bad: int = 1) -> bytes:
    return result_text([result_of(measured, probes(good, bad))])


def test_the_text_tells_everything_that_decided_the_verdict():
    [result] = json.loads(text_of(metric()))["results"]
    assert (result["status"], result["n"]) == ("missed_expected", 10)
    assert (result["value"], result["numerator"], result["denominator"]) == ("90", "9", "10")
    assert result["metric"]["rule"]["basis"] == "checks"
    assert result["metric"]["expected"] == "99.5"
    assert result["window"] == {
        "label": "2026-06",
        "start": "2026-06-01T04:00:00Z",
        "end": "2026-07-01T04:00:00Z",
    }
    assert text_of(metric()).startswith(BEGINNING)


def test_the_text_changes_with_definition_and_observations():
    changed = [metric(), metric(expected=Decimal(80)), metric(minimum_coverage=Decimal(80))]
    assert len({text_of(each) for each in changed} | {text_of(metric(), 8, 2)}) == 4


def test_a_definition_stored_before_its_class_grew_is_read_with_what_it_meant():
    """As documents of a class that knew neither coverage nor expectations."""
    stored = json.loads(text_of(metric()))["results"][0]["metric"]
    for later in ("minimum_coverage", "zero_volume"):
        del stored[later]
    del stored["rule"]["expects"]
    [read] = METRICS.validate_python([stored])
    assert read == metric()
