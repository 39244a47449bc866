"""What holds for every calendar: its clock agrees with a wall clock read minute by minute."""

from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.calendars.business_days import is_business_day
from shared.calendars.business_time import business_calendar
from shared.contracts.governance import CalendarRules, Closure, OpenHours

unhurried = settings(max_examples=100, deadline=None)

MINUTE = timedelta(minutes=1)
# Half-hour changes, changes at midnight, a skipped day, a midnight that came twice, and plain ones.
ZONES = (
    "America/New_York",
    "America/Denver",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Havana",
    "Pacific/Apia",
    "America/St_Johns",
    "Asia/Kathmandu",
    "UTC",
)
# Days around which the clocks above change, or a year ends.
DAYS = (
    date(2026, 3, 7),
    date(2026, 10, 31),
    date(2026, 4, 4),
    date(2024, 4, 25),
    date(2024, 10, 31),
    date(2024, 11, 2),
    date(2011, 12, 29),
    date(2008, 11, 1),
    date(2027, 12, 30),
    date(2026, 11, 10),
)

minutes_of_day = st.integers(0, 24 * 60 - 1)


def as_time(minute):
    return time(*divmod(minute, 60))


@st.composite
def open_hours(draw):
    opens, closes = sorted(draw(st.lists(minutes_of_day, min_size=2, max_size=2, unique=True)))
    until = draw(st.sampled_from([as_time(closes), time(0)]))
    return OpenHours(weekday=draw(st.integers(0, 6)), opens=as_time(opens), closes=until)


closures = st.builds(Closure, day=st.sampled_from(DAYS), reason=st.just("snow"))
round_the_clock = tuple(OpenHours(weekday=weekday, opens=time(0), closes=time(0)) for weekday in range(7))
rules = st.builds(
    CalendarRules,
    key=st.just("drawn"),
    zone=st.sampled_from(ZONES),
    hours=st.just(round_the_clock) | st.lists(open_hours(), min_size=1, max_size=12).map(tuple),
    federal_holidays=st.booleans(),
    closures=st.lists(closures, max_size=2).map(tuple),
)


@st.composite
def instants(draw):
    midnight = datetime.combine(draw(st.sampled_from(DAYS)), time(0), tzinfo=UTC)
    return midnight + timedelta(minutes=draw(st.integers(-1440, 3 * 1440)))


exact_instants = st.builds(lambda at, us: at + timedelta(microseconds=us), instants(), st.integers(0, 10**8))
spans = st.tuples(exact_instants, st.timedeltas(timedelta(), timedelta(days=500))).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)


def wall_clock_shows_open(rules, moment):
    local = moment.astimezone(ZoneInfo(rules.zone)).replace(tzinfo=None)
    return is_business_day(rules, local.date()) and any(
        row.weekday == local.weekday()
        and row.opens <= local.time()
        and (local.time() < row.closes or row.closes == time(0))
        for row in rules.hours
    )


@unhurried
@given(rules, instants(), st.integers(0, 2 * 1440))
def test_elapsed_is_the_number_of_minutes_at_which_a_wall_clock_shows_open(rules, start, length):
    counted = sum(wall_clock_shows_open(rules, start + n * MINUTE) for n in range(length))
    assert business_calendar(rules).elapsed(start, start + length * MINUTE) == counted * MINUTE


@unhurried
@given(rules, st.tuples(exact_instants, exact_instants, exact_instants).map(sorted))
def test_elapsed_adds_up_over_any_point_between(rules, moments):
    calendar = business_calendar(rules)
    first, middle, last = moments
    assert calendar.elapsed(first, middle) + calendar.elapsed(middle, last) == calendar.elapsed(first, last)


@unhurried
@given(rules, spans, st.timedeltas(timedelta(), timedelta(days=10)))
def test_elapsed_never_shrinks_as_time_passes_nor_outruns_it(rules, span, later):
    calendar = business_calendar(rules)
    before, after = calendar.elapsed(*span), calendar.elapsed(span[0], span[1] + later)
    assert before <= after <= before + later


@unhurried
@given(rules, spans, st.integers(0, 1000))
def test_adding_open_time_is_the_inverse_of_measuring_it(rules, span, per_mille):
    calendar = business_calendar(rules)
    start = span[0]
    open_time = calendar.elapsed(*span) * per_mille // 1000
    end = calendar.add(start, open_time)
    assert calendar.elapsed(start, end) == open_time
    if open_time:
        assert calendar.elapsed(start, end - timedelta(microseconds=1)) < open_time


@unhurried
@given(rules, exact_instants)
def test_the_next_open_moment_is_the_first_at_which_a_wall_clock_shows_open(rules, moment):
    opening = business_calendar(rules).next_open(moment)
    assert opening >= moment
    assert wall_clock_shows_open(rules, opening)
    assert business_calendar(rules).elapsed(moment, opening) == timedelta()


@unhurried
@given(rules, spans, st.lists(spans, max_size=4), spans)
def test_pauses_only_shorten_and_their_order_does_not_matter(rules, span, pauses, another):
    calendar = business_calendar(rules)
    without = calendar.elapsed_excluding(*span, pauses)
    assert timedelta() <= calendar.elapsed_excluding(*span, [another, *pauses]) <= without
    assert without == calendar.elapsed_excluding(*span, pauses[::-1])
    assert without <= calendar.elapsed(*span)


@unhurried
@given(rules, st.tuples(exact_instants, st.timedeltas(timedelta(), timedelta(days=20))))
def test_an_explanation_has_no_gap_and_adds_up_to_what_elapsed(rules, drawn):
    calendar = business_calendar(rules)
    start, end = drawn[0], drawn[0] + drawn[1]
    spans = calendar.explain(start, end)
    edges = [start, *(span.end for span in spans)]
    assert [span.start for span in spans] == edges[:-1]
    assert edges[-1] == end
    assert sum((s.duration for s in spans if s.counted), timedelta()) == calendar.elapsed(start, end)
    assert all(span.duration > timedelta() for span in spans)


@unhurried
@given(rules, st.dates(date(2000, 1, 1), date(2060, 1, 1)), st.integers(1, 300))
def test_business_days_counted_up_to_the_nth_are_n(rules, day, n):
    calendar = business_calendar(rules)
    nth = calendar.business_day_after(day, n)
    assert is_business_day(rules, nth)
    assert calendar.business_days_between(day, nth) == n
    closes = calendar.end_of_business_day(nth)
    assert calendar.elapsed(closes - MINUTE, closes) > timedelta()


@unhurried
@given(rules, spans, st.fractions(0, 1, max_denominator=20))
def test_at_a_share_of_the_way_that_share_has_run(rules, span, share):
    calendar = business_calendar(rules)
    whole = calendar.elapsed(*span)
    point = calendar.fraction_point(*span, share)
    ran = calendar.elapsed(span[0], point)
    microsecond = timedelta(microseconds=1)
    assert 0 <= ran // microsecond - share * Fraction(whole // microsecond) < 1
    assert point <= span[1]
