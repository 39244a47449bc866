"""How often a body meets, as an RFC 5545 recurrence rule.

`dateutil` takes much that no other calendar program would (INTERVAL=0, month 13, parts of its own), so a rule is held
against the grammar of RFC 5545 3.3.10 before it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from dateutil.rrule import rrulestr

from shared.pure.refusal import Refused

MEETING_FREQUENCIES: Final = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_FREQUENCIES: Final = ("SECONDLY", "MINUTELY", "HOURLY", *MEETING_FREQUENCIES)
_NUMBER: Final = re.compile(r"([+-]?)(\d{1,5})", re.ASCII)
_WEEKDAY: Final = re.compile(r"([+-]?\d{1,2})?(SU|MO|TU|WE|TH|FR|SA)", re.ASCII)
_UNTIL: Final = re.compile(r"\d{8}(T\d{6}Z?)?", re.ASCII)
_LONGEST_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_WEEKS_OF_A_MONTH: Final = 5


def _within(least: int, most: int, *, signed: bool = False) -> Callable[[str], bool]:
    """Whether a number is one of the RFC's; a signed one may count from the end."""

    def fits(text: str) -> bool:
        match = _NUMBER.fullmatch(text)
        return match is not None and (signed or not match[1]) and least <= int(match[2]) <= most

    return fits


def _is_weekday(text: str) -> bool:
    match = _WEEKDAY.fullmatch(text)
    return match is not None and (match[1] is None or 1 <= abs(int(match[1])) <= 53)


_ONE: Final[Mapping[str, Callable[[str], bool]]] = {
    "FREQ": _FREQUENCIES.__contains__,
    "UNTIL": lambda text: _UNTIL.fullmatch(text) is not None,
    "COUNT": _within(1, 99_999),
    "INTERVAL": _within(1, 99_999),
    "WKST": lambda text: _WEEKDAY.fullmatch(text) is not None and len(text) == len("MO"),
}
_MANY: Final[Mapping[str, Callable[[str], bool]]] = {
    "BYSECOND": _within(0, 60),
    "BYMINUTE": _within(0, 59),
    "BYHOUR": _within(0, 23),
    "BYDAY": _is_weekday,
    "BYMONTHDAY": _within(1, 31, signed=True),
    "BYYEARDAY": _within(1, 366, signed=True),
    "BYWEEKNO": _within(1, 53, signed=True),
    "BYMONTH": _within(1, 12),
    "BYSETPOS": _within(1, 366, signed=True),
}
_ONLY_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    "BYMONTHDAY": tuple(frequency for frequency in _FREQUENCIES if frequency != "WEEKLY"),
    "BYYEARDAY": ("SECONDLY", "MINUTELY", "HOURLY", "YEARLY"),
    "BYWEEKNO": ("YEARLY",),
}


def check_recurrence(rule: str, frequencies: tuple[str, ...] = _FREQUENCIES) -> None:
    """Refuse `invalid_recurrence`, naming the part, what is no rule of RFC 5545 3.3.10 or can never occur.

    `frequencies` are those allowed here.
    """
    parts = _parts(rule.upper())
    frequency = parts.get("FREQ", "")
    if frequency not in frequencies:
        raise _invalid(f"it needs FREQ={', '.join(frequencies[:-1])} or {frequencies[-1]}")
    if "COUNT" in parts and "UNTIL" in parts:
        raise _invalid("give COUNT or UNTIL, not both")
    for name in parts.keys() & _ONLY_WITH.keys():
        if frequency not in _ONLY_WITH[name]:
            raise _invalid(f"{name} has no meaning with FREQ={frequency}")
    if "BYSETPOS" in parts and len(parts.keys() & _MANY.keys()) == 1:
        raise _invalid("BYSETPOS chooses among what another BY part names")
    _check_numbered_weekdays(frequency, parts)
    _check_month_days(parts)
    _check_dates(rule, parts)


def _parts(rule: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in rule.split(";"):
        name, equals, value = part.partition("=")
        if not equals or name not in _ONE.keys() | _MANY.keys():
            raise _invalid(f"{part!r} is no part of a rule")
        if name in parts:
            raise _invalid(f"{name} comes twice")
        fits = _ONE[name](value) if name in _ONE else all(map(_MANY[name], value.split(",")))
        if not fits:
            raise _invalid(f"{name} cannot be {value!r}")
        parts[name] = value
    return parts


def _check_numbered_weekdays(frequency: str, parts: Mapping[str, str]) -> None:
    """A second Tuesday needs a month or a year to be counted in, and no month has six of them."""
    days = parts.get("BYDAY", "").split(",")
    numbers = [abs(int(day[:-2])) for day in days if day[:-2]]
    if not numbers:
        return
    if frequency not in ("MONTHLY", "YEARLY") or "BYWEEKNO" in parts:
        raise _invalid("a numbered day such as 2TU needs FREQ=MONTHLY or FREQ=YEARLY, without BYWEEKNO")
    in_months = frequency == "MONTHLY" or "BYMONTH" in parts
    if in_months and max(numbers) > _WEEKS_OF_A_MONTH:
        raise _invalid(f"no month has {max(numbers)} weeks")


def _check_month_days(parts: Mapping[str, str]) -> None:
    if "BYMONTHDAY" not in parts:
        return
    first = min(abs(int(day)) for day in parts["BYMONTHDAY"].split(","))
    months = parts.get("BYMONTH", "1").split(",")
    if first > max(_LONGEST_MONTH[int(month) - 1] for month in months):
        raise _invalid(f"no such month has a day {first}")


def _check_dates(rule: str, parts: Mapping[str, str]) -> None:
    """What only a calendar knows: that UNTIL is a day and time there is."""
    zone = UTC if parts.get("UNTIL", "").endswith("Z") else None
    try:
        rrulestr(rule, dtstart=datetime(2026, 1, 1, tzinfo=zone))
    except ValueError as error:
        raise _invalid(str(error)) from None


def _invalid(why: str) -> Refused:
    return Refused("invalid_recurrence", f"This is no recurrence rule (RFC 5545): {why}.")
