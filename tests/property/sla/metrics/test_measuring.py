"""Rules of measuring that hold for every input."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.sla.metrics.domain.agreed_time import AgreedTime, Part
from services.sla.metrics.domain.availability import AvailabilityBasis, AvailabilityRule
from services.sla.metrics.domain.coverage import Expectation
from services.sla.metrics.domain.durations import DurationRule
from services.sla.metrics.domain.percentiles import PercentileRule, Ranking, nearest_rank
from services.sla.metrics.domain.terms import DurationClock
from services.sla.metrics.domain.windows import Setting, Window
from services.sla.observations.domain.observation import Observation, ObservationKind
from services.sla.results.domain.result import Result, compute
from tests.support.measuring import FEDERAL, LONG_AFTER, metric

START = datetime(2026, 6, 1, 12, tzinfo=UTC)  # a Monday, 08:00 in New York
WINDOW = Window("2026-06", START, START + timedelta(minutes=300))
SETTING = Setting(WINDOW, FEDERAL, LONG_AFTER, "UTC")


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


STRETCHES = st.lists(
    st.tuples(st.sampled_from(Part), st.integers(-50, 320), st.integers(0, 60)).map(
        lambda drawn: (drawn[0], minute(drawn[1]), minute(drawn[1] + drawn[2]))
    ),
    max_size=15,
)


@settings(max_examples=200)
@given(STRETCHES, st.none() | st.integers(0, 100))
def test_agreed_time_adds_up_like_sets_of_minutes(stretches, allowance):
    time = AgreedTime(SETTING, allowance=None if allowance is None else timedelta(minutes=allowance))
    for part, start, end in sorted(stretches, key=lambda stretch: stretch[1]):
        time.start(part, (start, end))
    covered = {
        part: {n for n in range(300) if any(p is part and s <= minute(n) < e for p, s, e in stretches)}
        for part in Part
    }
    away = set(sorted(covered[Part.away])[:allowance])
    down, watched = covered[Part.down], covered[Part.watched]
    assert time.minutes() == 300
    assert time.minutes([Part.down], [Part.away]) == len(down - away)
    assert time.minutes(lacking=[Part.away]) == 300 - len(away)
    assert time.minutes([Part.watched], [Part.away]) == len(watched - away)
    assert time.minutes([Part.down, Part.away]) == len(down & away)


@settings(max_examples=150)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 1000))
def test_nearest_rank_is_the_least_value_that_covers_the_share(values, per_mille):
    percent = Decimal(per_mille) / 10
    rank = nearest_rank([Decimal(value) for value in values], percent)
    share = Fraction(per_mille, 1000) * len(values)
    assert rank in values
    assert sum(value <= rank for value in values) >= share
    assert sum(value < rank for value in values) < share


@settings(max_examples=100)
@given(st.lists(st.decimals(-1000, 1000, places=3), max_size=60), st.integers(1, 100))
def test_a_ranking_is_the_same_however_little_it_may_count_at_once(values, percent):
    class Small(Ranking):
        MOST_COUNTED = 3

    ranking = Small()
    for value in values:
        ranking.add(value)
    assert ranking.nearest(Decimal(percent)) == nearest_rank(values, Decimal(percent))


MOMENTS = st.integers(-200, 400).map(minute)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["approved_at", "assigned_at", "priority"]),
    st.sampled_from(["1", "soon", "2026-06-01T12:30:00Z", "2026-06-01T13:59:00-04:00", ""]),
    max_size=3,
)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    start = draw(MOMENTS)
    lasts = draw(st.none() | st.integers(0, 300))
    kind = draw(st.sampled_from(ObservationKind))
    return Observation(
        source="test",
        source_id=draw(st.uuids()).hex,
        kind=kind,
        service="payroll",
        occurred_at=start,
        ended_at=None if lasts is None else start + timedelta(minutes=lasts),
        good=draw(st.booleans()) if kind is ObservationKind.probe else None,
        value=draw(st.none() | st.decimals(-10, 10, places=2)),
        attributes=draw(ATTRIBUTES),
    )


RULES = st.one_of(
    st.builds(
        AvailabilityRule,
        basis=st.just(AvailabilityBasis.checks),
        agreed_time=st.sampled_from(DurationClock),
        maintenance_allowance_minutes=st.none() | st.integers(0, 200),
        expects=st.sampled_from([None, Expectation.every(5), Expectation.daily(3)]),
    ),
    st.builds(
        AvailabilityRule,
        basis=st.just(AvailabilityBasis.outages),
        agreed_time=st.sampled_from(DurationClock),
        maintenance_allowance_minutes=st.none() | st.integers(0, 200),
    ),
    st.builds(PercentileRule, percentile=st.integers(1, 100).map(Decimal), successful_only=st.booleans()),
    st.builds(
        DurationRule,
        limit=st.integers(1, 200),
        clock=st.sampled_from(DurationClock),
        start=st.sampled_from(["occurred_at", "assigned_at"]),
        pauses_count=st.booleans(),
    ),
)


def computed(rule, seen: list[Observation], now: datetime = LONG_AFTER) -> Result:
    return compute(metric(rule, unit="%" if rule.is_ratio else "ms"), seen, WINDOW, FEDERAL, now)


@settings(max_examples=200)
@given(RULES, st.lists(observations(), max_size=12), st.randoms(), MOMENTS)
def test_order_never_changes_a_result(rule, seen, random, now):
    shuffled = list(seen)
    random.shuffle(shuffled)
    assert computed(rule, shuffled, now) == computed(rule, seen, now)


@settings(max_examples=200)
@given(RULES, st.lists(observations(), max_size=12), MOMENTS)
def test_every_share_is_a_share_and_full_only_when_nothing_failed(rule, seen, now):
    result = computed(rule, seen, now)
    if rule.is_ratio and result.value is not None:
        assert 0 <= result.value <= 100
        assert 0 <= result.gross <= 100
        assert (result.value == 100) == (result.numerator == result.denominator)
        assert result.value == Fraction(result.numerator, result.denominator) * 100
    assert result.coverage is None or 0 <= result.coverage <= 1


@settings(max_examples=150)
@given(RULES, st.lists(observations(), max_size=12), MOMENTS)
def test_one_more_success_never_lowers_a_ratio(rule, seen, moment):
    """A good check, or an item that took no time at all."""
    assume(rule.is_ratio and rule.counts_items)
    kind = ObservationKind.event if isinstance(rule, DurationRule) else ObservationKind.probe
    success = Observation(
        source="new",
        source_id="1",
        kind=kind,
        service="payroll",
        occurred_at=moment,
        ended_at=moment,
        good=True,
        attributes={"assigned_at": moment.isoformat()},
    )
    before, after = computed(rule, seen), computed(rule, [*seen, success])
    if before.value is not None:
        assert after.value >= before.value


@settings(max_examples=100)
@given(st.lists(observations(), max_size=12), MOMENTS, st.integers(1, 60))
def test_one_more_outage_never_raises_availability(seen, start, lasts):
    rule = AvailabilityRule(basis=AvailabilityBasis.outages)
    watched = Observation(
        source="new",
        source_id="0",
        kind=ObservationKind.coverage,
        service="payroll",
        occurred_at=WINDOW.start,
        ended_at=WINDOW.end,
    )
    more = Observation(
        source="new",
        source_id="1",
        kind=ObservationKind.outage,
        service="payroll",
        occurred_at=start,
        ended_at=start + timedelta(minutes=lasts),
    )
    before, after = computed(rule, [watched, *seen]), computed(rule, [watched, *seen, more])
    assert (after.value is None) == (before.value is None)
    assert before.value is None or after.value <= before.value
