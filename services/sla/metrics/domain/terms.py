"""The words metrics are defined in."""

from enum import StrEnum


class Aggregation(StrEnum):
    """How observations become one value."""

    availability = "availability"
    percentile = "percentile"
    within_duration_ratio = "within_duration_ratio"


class DurationClock(StrEnum):
    """Whether time runs always, or only while the SLA's calendar is open."""

    elapsed = "elapsed"
    business = "business"


class DurationUnit(StrEnum):
    """The unit of a limit; a business day ends when its last open hours close."""

    minutes = "minutes"
    hours = "hours"
    days = "days"


class Comparator(StrEnum):
    """Which side of a level is good."""

    gte = "gte"
    lte = "lte"


class ZeroVolume(StrEnum):
    """What a window without any qualifying observation means. Never that the level was met."""

    not_applicable = "not_applicable"
    no_data = "no_data"
