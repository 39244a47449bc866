"""An observation: one thing that a source system saw, as every metric reads it."""

import re
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from shared.calendars.business_time import FIRST_YEAR, LAST_YEAR
from shared.pure.canonical import content_hash

_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)

Interval = tuple[datetime, datetime]
Pause = tuple[datetime, datetime | None]


class ObservationKind(StrEnum):
    """What was seen.

    `probe` is one check, `event` a piece of work with a start and perhaps an end, `outage` and
    `maintenance` stretches of time. `coverage` says that the source watched a stretch, so that the
    absence of outages there is a fact and not a gap.
    """

    probe = "probe"
    event = "event"
    outage = "outage"
    maintenance = "maintenance"
    coverage = "coverage"


MOMENTS = frozenset({ObservationKind.probe, ObservationKind.event})
"""The kinds that are no stretches of time which others may fall into."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One version of one observation; `deleted` is a tombstone that takes the earlier ones back.

    `occurred_at` is the start, `ended_at` None while it lasts, as is the end of a pause. `good` is a
    check's verdict.
    """

    source: str
    source_id: str
    version: int = 1
    kind: ObservationKind = ObservationKind.event
    service: str = ""
    occurred_at: datetime | None = None
    ended_at: datetime | None = None
    value: Decimal | None = None
    good: bool | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = ()
    deleted: bool = False

    def interval(self, until: datetime) -> Interval:
        """From start to end; what still lasts is taken to last to `until`."""
        start = self.occurred_at or until
        return start, max(start, self.ended_at or until)

    def is_unreadable(self, name: str) -> bool:
        """Whether the attribute of that name says something that is no instant."""
        given = self.attributes.get(name, "").strip()
        return bool(given) and self.instant(name) is None

    def instant(self, name: str) -> datetime | None:
        """The field `occurred_at` or `ended_at`, or the attribute of that name read as RFC 3339."""
        fields = {"occurred_at": self.occurred_at, "ended_at": self.ended_at}
        if name in fields:
            return fields[name]
        return read_instant(self.attributes.get(name, ""))


def read_instant(text: str) -> datetime | None:
    """An RFC 3339 instant in UTC, from 1990 to 2148; None when it is anything else, or has no offset.

    It may have any number of decimals (RFC 3339 5.6); what lies beyond the microsecond is cut off.
    """
    if not _RFC_3339.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if FIRST_YEAR <= moment.year < LAST_YEAR else None


def fingerprint(observation: Observation) -> str:
    """The hash of everything the observation says, to tell a repeat from a contradiction.

    What it leaves unsaid plays no part, so that a field added one day keeps the fingerprints of before.
    """
    given = {name: getattr(observation, name) for name in _NOT_GIVEN}
    return content_hash({name: value for name, value in given.items() if value != _NOT_GIVEN[name]})


_NOT_GIVEN: dict[str, object] = {
    field.name: getattr(Observation(source="", source_id=""), field.name) for field in fields(Observation)
}


def in_time(seen: Observation) -> tuple[datetime, bool, str, str]:
    """The order in which metrics read observations: by start, stretches before what happens at their first moment.

    The query of results sorts in the same way.
    """
    assert seen.occurred_at is not None  # only tombstones have none, and nothing reads those
    return seen.occurred_at, seen.kind in MOMENTS, seen.source, seen.source_id
