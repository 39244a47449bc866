"""The text of a charter as it is stored and hashed, and the day on which it takes effect."""

import json
from datetime import date, datetime

from shared.domain.canonical import canonical_json
from shared.domain.fiscal import local_midnight, zone_named
from shared.domain.governance import ExecutableCharter


def as_document(content: ExecutableCharter) -> dict[str, object]:
    """The text as JSON whose hash anybody can recompute from what they were sent (RFC 8785)."""
    document: dict[str, object] = json.loads(canonical_json(content))
    return document


def charter_zone(content: ExecutableCharter) -> str:
    """The zone in which the charter's own dates begin: that of its first calendar."""
    return content.calendars[0].zone


def starts_at(day: date, zone: str) -> datetime:
    """The instant, in UTC, at which the day begins there."""
    return local_midnight(day, zone_named(zone))


def day_at(now: datetime, zone: str) -> date:
    """The date there."""
    return now.astimezone(zone_named(zone)).date()
