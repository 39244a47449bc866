"""Rules for the escalation ladder and for the calendars its clocks run in."""

from collections.abc import Iterator
from datetime import time
from itertools import pairwise

from services.charter.charters.domain.bodies import chain_above
from services.charter.charters.domain.keys import repeated
from shared.calendars.business_days import closes_at_midnight
from shared.calendars.zones import zone_named
from shared.contracts.governance import (
    Body,
    BodyKind,
    CalendarRules,
    ExecutableCharter,
    OpenHours,
    Party,
    Rung,
    Severity,
)
from shared.pure.refusal import Finding, Refusal, pointer


def ladder_findings(content: ExecutableCharter) -> Iterator[Finding]:
    """Findings about single rungs, about missing ones, and about who ends an escalation."""
    bodies = {body.key for body in content.bodies}
    for index, rung in enumerate(content.ladder):
        if rung.body not in bodies:
            message = f"The charter has no body {rung.body!r}."
            yield Finding("unknown_body", message, pointer("ladder", index, "body"))
        if rung.limit is not None and rung.limit < 1:
            message = "A rung lasts at least 1; leave the limit out for a rung without clock."
            yield Finding("limit_out_of_range", message, pointer("ladder", index, "limit"))
        if rung.limit is None and rung.severity is Severity.moderate:
            message = "Give the moderate rung a limit: a severity without one of its own runs on it."
            yield Finding("moderate_without_limit", message, pointer("ladder", index, "limit"))
    for index, _ in repeated((rung.body, rung.severity) for rung in content.ladder):
        message = "A body has one rung per severity."
        yield Finding("duplicate_rung", message, pointer("ladder", index))
    yield from _missing_rungs(content)
    yield from _emergencies(content)
    yield from _final_authorities(content)


def _missing_rungs(content: ExecutableCharter) -> Iterator[Finding]:
    rungs = {(rung.body, rung.severity): rung for rung in content.ladder}
    for severity in Severity:
        needed = {key for body in _lowest(content) for key in _needed(content, body, severity, rungs)}
        for body in content.bodies:
            if body.key in needed and (body.key, severity) not in rungs:
                message = f"Give {body.key!r} a clock for {severity}, or an explicit rung without limit."
                yield Finding("missing_rung", message, "/ladder")


def _emergencies(content: ExecutableCharter) -> Iterator[Finding]:
    """An emergency authority always has a clock, and one that runs day and night."""
    timed = {(rung.body, rung.severity) for rung in content.ladder if rung.limit is not None}
    on_call = {calendar.key: _never_closes(calendar) for calendar in content.calendars}
    for index, body in enumerate(content.bodies):
        if body.kind is not BodyKind.emergency:
            continue
        for severity in Severity:
            if (body.key, severity) not in timed:
                message = f"Give {body.key!r} a limit for {severity}, such as 1 hour to authorize."
                yield Finding("emergency_without_clock", message, "/ladder")
        if not on_call.get(body.calendar, True):
            message = "An emergency authority needs a calendar open from 00:00 to 00:00 on all seven days, without holidays or closures."
            yield Finding("emergency_calendar_closes", message, pointer("bodies", index, "calendar"))


def _never_closes(calendar: CalendarRules) -> bool:
    whole = {row.weekday for row in calendar.hours if row.opens == time.min and closes_at_midnight(row)}
    return len(whole) == 7 and not calendar.federal_holidays and not calendar.closures


def _lowest(content: ExecutableCharter) -> list[Body]:
    """Standing bodies no other standing body escalates to: where items start."""
    standing = [body for body in content.bodies if body.kind is BodyKind.standing]
    parents = {body.parent for body in standing}
    return [body for body in standing if body.key not in parents]


def _needed(
    content: ExecutableCharter, start: Body, severity: Severity, rungs: dict[tuple[str, Severity], Rung]
) -> Iterator[str]:
    """The bodies an item can reach by its clock: upwards until a rung that has none."""
    by_key = {body.key: body for body in reversed(content.bodies)}
    for body in (start, *chain_above(start, by_key)):
        yield body.key
        rung = rungs.get((body.key, severity))
        if rung is not None and rung.limit is None:
            return


def _final_authorities(content: ExecutableCharter) -> Iterator[Finding]:
    parties = [authority.party for authority in content.final_authorities]
    for party in Party:
        if party not in parties:
            message = f"Name who ends an escalation for the {party}."
            yield Finding("missing_final_authority", message, "/final_authorities")
    for index, party in repeated(parties):
        message = f"Only one final authority for the {party}."
        yield Finding("duplicate_final_authority", message, pointer("final_authorities", index))


def calendar_findings(content: ExecutableCharter) -> Iterator[Finding]:
    """Findings about zones and opening hours."""
    for index, calendar in enumerate(content.calendars):
        at = pointer("calendars", index)
        try:
            zone_named(calendar.zone)
        except Refusal as refusal:
            yield Finding(refusal.code, refusal.message, f"{at}/zone")
        if not calendar.hours:
            yield Finding("calendar_never_opens", "Add at least one row of open hours.", f"{at}/hours")
        yield from _hours(calendar, at)


def _hours(calendar: CalendarRules, at: str) -> Iterator[Finding]:
    for index, row in enumerate(calendar.hours):
        if row.weekday not in range(7):
            message = "Weekdays run from 0 (Monday) to 6 (Sunday)."
            yield Finding("invalid_open_hours", message, f"{at}/hours/{index}/weekday")
        if row.opens >= row.closes and not closes_at_midnight(row):
            message = "Hours close after they open, on the same day; 00:00 closes at the end of the day."
            yield Finding("invalid_open_hours", message, f"{at}/hours/{index}/closes")
    ordered = sorted(enumerate(calendar.hours), key=lambda item: (item[1].weekday, item[1].opens))
    for (_, first), (index, second) in pairwise(ordered):
        if _overlap(first, second):
            message = "These hours overlap others of the same weekday."
            yield Finding("overlapping_hours", message, f"{at}/hours/{index}")


def _overlap(first: OpenHours, second: OpenHours) -> bool:
    same_day = first.weekday == second.weekday
    return same_day and (closes_at_midnight(first) or second.opens < first.closes)
