"""How far a clock is moved: `10bd`, `2w`, `3d`, `4h`, `30m`, or to a moment."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta

from shared.calendars.business_time import business_calendar
from shared.calendars.zones import zone_named
from shared.contracts.governance import CalendarRules
from shared.pure.refusal import Invalid

_WRITTEN = re.compile(r"(\d{1,4})(bd|w|d|h|m)")


def _business_days(now: datetime, n: int, rules: CalendarRules) -> datetime:
    return _on_day(now, rules, lambda local: business_calendar(rules).business_day_after(local.date(), n))


def _days(now: datetime, n: int, rules: CalendarRules) -> datetime:
    return _on_day(now, rules, lambda local: local.date() + timedelta(days=n))


_UNITS: Mapping[str, Callable[[datetime, int, CalendarRules], datetime]] = {
    "bd": _business_days,
    "w": lambda now, n, rules: _days(now, 7 * n, rules),
    "d": _days,
    "h": lambda now, n, rules: now + timedelta(hours=n),
    "m": lambda now, n, rules: now + timedelta(minutes=n),
}


def after(now: datetime, by: str, rules: CalendarRules) -> datetime:
    """The moment that lies `by` after `now`; days and weeks keep the time of day in the calendar's zone.

    `bd` counts the calendar's business days. Refuses `unknown_duration`.
    """
    written = _WRITTEN.fullmatch(by.strip())
    if written is None or not int(written[1]):
        message = "Give a number and a unit: 10bd (business days), 2w, 3d, 4h or 30m."
        raise Invalid("unknown_duration", message, "/by")
    return _UNITS[written[2]](now.astimezone(UTC), int(written[1]), rules)


def moment(to: str, zone: str) -> datetime:
    """A moment such as `2026-11-16T09:00`, in the zone where no offset is given. Refuses `unknown_moment`."""
    try:
        written = datetime.fromisoformat(to.strip())
    except ValueError:
        message = "Give a date and a time such as 2026-11-16T09:00, with an offset where it is not local."
        raise Invalid("unknown_moment", message, "/to") from None
    return (written if written.tzinfo else written.replace(tzinfo=zone_named(zone))).astimezone(UTC)


def _on_day(now: datetime, rules: CalendarRules, day_of: Callable[[datetime], date]) -> datetime:
    local = now.astimezone(zone_named(rules.zone))
    return datetime.combine(day_of(local), local.time(), zone_named(rules.zone)).astimezone(UTC)
