"""Rules of the computation that hold for every input."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.sla.metrics.domain.measured import Measured, rounded
from services.sla.metrics.domain.metric import AvailabilityRule, Comparator, LowVolume, Metric
from services.sla.metrics.domain.percentiles import nearest_rank
from services.sla.observations.domain.intervals import capped, clipped, length, merged, without
from services.sla.observations.domain.observation import Observation, ObservationKind
from services.sla.observations.domain.parsing import RowError, parse_row
from services.sla.observations.service.rows import CsvRows, JsonRows, NdjsonRows
from services.sla.results.domain import ResultStatus, judge, reaches
from shared.pure.refusal import Refusal

START = datetime(2026, 10, 1, tzinfo=UTC)


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


INTERVALS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 60)).map(lambda p: (minute(p[0]), minute(p[0] + p[1]))),
    max_size=12,
)


def covered(intervals) -> set[int]:
    """The minutes an interval list covers, counted one by one."""
    return {n for n in range(300) if any(start <= minute(n) < end for start, end in intervals)}


@settings(max_examples=150)
@given(INTERVALS, INTERVALS)
def test_interval_sets_behave_like_sets_of_minutes(some, others):
    assert covered(merged(some)) == covered(some)
    assert length(merged(some)) == timedelta(minutes=len(covered(some)))
    rest = without(some, others)
    assert covered(rest) == covered(some) - covered(others)
    assert length(rest) == timedelta(minutes=len(covered(rest)))
    window = clipped(some, minute(50), minute(100))
    assert covered(window) == {n for n in covered(some) if 50 <= n < 100}


@settings(max_examples=100)
@given(INTERVALS, st.integers(0, 300))
def test_an_allowance_keeps_the_earliest_minutes(some, allowance):
    kept = covered(capped(some, timedelta(minutes=allowance)))
    assert kept == set(sorted(covered(some))[:allowance])


@settings(max_examples=150)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 1000))
def test_nearest_rank_is_the_least_value_that_covers_the_share(values, per_mille):
    percent = Decimal(per_mille) / 10
    found = nearest_rank([Decimal(value) for value in values], percent)
    share = Fraction(per_mille, 1000) * len(values)
    assert found in values
    assert sum(value <= found for value in values) >= share
    assert sum(value < found for value in values) < share


METRICS = st.builds(
    lambda expected, gap, low: Metric(
        key="M",
        name="M",
        service="s",
        rule=AvailabilityRule(),
        expected=Decimal(expected) / 100,
        minimum=Decimal(max(0, expected - gap)) / 100,
        low_volume=LowVolume() if low else None,
    ),
    st.integers(0, 10_000),
    st.integers(0, 500),
    st.booleans(),
)


@settings(max_examples=200)
@given(METRICS, st.integers(1, 300), st.integers(0, 300))
def test_a_verdict_follows_from_the_exact_value_alone(metric, n, misses):
    misses = min(misses, n)
    value = Fraction(n - misses, n) * 100
    status = judge(metric, Measured(value=value, n=n, misses=misses))
    if value >= Fraction(metric.expected):
        assert status is ResultStatus.met
    elif status is ResultStatus.met:
        assert metric.low_volume
        assert misses == 1
        assert n * (100 - Fraction(metric.expected)) < 100
    else:
        reached = reaches(metric, value, metric.minimum)
        assert status is (ResultStatus.missed_expected if reached else ResultStatus.missed_minimum)


@settings(max_examples=100)
@given(METRICS, st.fractions(0, 100), st.fractions(0, 100))
def test_a_better_value_never_gets_a_worse_verdict(metric, one, other):
    order = [ResultStatus.missed_minimum, ResultStatus.missed_expected, ResultStatus.met]
    worse, better = sorted((one, other))
    rank = [order.index(judge(metric, Measured(value=v, n=10_000))) for v in (worse, better)]
    assert rank == sorted(rank)
    assert reaches(metric, better, metric.expected) or not reaches(metric, worse, metric.expected)
    assert metric.comparator is Comparator.gte


@settings(max_examples=200)
@given(st.fractions(-1000, 1000), st.integers(0, 10))
def test_rounding_is_to_the_nearest_and_keeps_its_decimals(value, places):
    shown = rounded(value, places)
    assert abs(Fraction(shown) - value) * 2 <= Fraction(1, 10**places)
    assert -shown.as_tuple().exponent == places


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.decimals(allow_nan=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from([*Observation.__dataclass_fields__, "attributes.x", "colour"])


@settings(max_examples=200)
@given(st.dictionaries(FIELDS, JSON_VALUES, max_size=8))
def test_any_row_is_either_an_observation_or_a_reported_error(row):
    seen = parse_row({"source": "s", "source_id": "1", "kind": "probe"} | row, 4)
    assert isinstance(seen, Observation | RowError)
    if isinstance(seen, Observation):
        assert seen.deleted or (seen.service and seen.occurred_at)
        assert isinstance(seen.kind, ObservationKind)


@settings(max_examples=200)
@given(
    st.sampled_from([CsvRows, NdjsonRows, JsonRows]),
    st.binary(max_size=300) | st.text('ab",{}[]:\n\r1', max_size=200).map(str.encode),
    st.lists(st.integers(0, 300), max_size=5),
)
def test_any_body_gives_rows_or_a_refusal_however_it_is_cut(reader, body, cuts):
    def read(pieces: list[bytes]):
        rows = reader()
        try:
            found = [row for piece in pieces for row in rows.feed(piece)]
            return [*found, *rows.finish()]
        except Refusal as refusal:
            return refusal.code

    edges = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    pieces = [body[a:b] for a, b in pairwise(edges)]
    assert read(pieces) == read([body])
