"""Time zones by name, and the local days in them."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from shared.pure.refusal import Refused

ONE_DAY: Final = timedelta(days=1)
_OF_THE_HOST: Final = frozenset({"localtime", "posixrules"})


def zone_named(name: str) -> ZoneInfo:
    """The IANA time zone of that name; refuses `unknown_zone`, and what only this host calls a zone."""
    try:
        if name in _OF_THE_HOST:
            raise KeyError(name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        message = f"{name!r} is not a known IANA time zone; give one such as America/New_York."
        raise Refused("unknown_zone", message, "/zone") from None


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which a local day begins.

    Where clocks skip midnight the day begins at the jump; where midnight comes twice, at the first.
    """
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def day_in(zone: str, moment: datetime) -> date:
    """The date a clock in that zone shows."""
    return moment.astimezone(zone_named(zone)).date()
