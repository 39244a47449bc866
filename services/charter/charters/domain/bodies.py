"""Rules for bodies: one tree of tiers, both parties seated, a quorum that can be reached."""

from collections.abc import Iterator, Mapping
from itertools import chain

from services.charter.charters.domain.keys import repeated
from shared.calendars.recurrence import MEETING_FREQUENCIES, check_recurrence
from shared.contracts.governance import Body, BodyKind, ExecutableCharter, Party, Seat
from shared.pure.refusal import Finding, Refusal, pointer

_CADENCES = ("cadence_stabilization", "cadence_steady")


def body_findings(content: ExecutableCharter) -> Iterator[Finding]:
    """Findings about each body and about the tree they form."""
    if not content.bodies:
        yield Finding("no_bodies", "Add the bodies that decide.", "/bodies")
    yield from _tree(content.bodies)
    calendars = {calendar.key for calendar in content.calendars}
    for index, body in enumerate(content.bodies):
        at = pointer("bodies", index)
        yield from _parties(body, at)
        yield from _alternates(body, at)
        yield from _cadence(body, at)
        if body.calendar not in calendars:
            message = f"The charter has no calendar {body.calendar!r}."
            yield Finding("unknown_calendar", message, f"{at}/calendar")


def _tree(bodies: tuple[Body, ...]) -> Iterator[Finding]:
    by_key = {body.key: body for body in reversed(bodies)}
    tops = sorted((body for body in bodies if body.parent is None), key=lambda body: -body.tier)
    for index, body in enumerate(bodies):
        at = pointer("bodies", index, "parent")
        if body.parent is None:
            if body is not tops[0]:
                message = f"Only one body is at the top; give {body.key!r} a parent."
                yield Finding("second_top_body", message, at)
        elif body.parent not in by_key:
            yield Finding("unknown_parent", f"The charter has no body {body.parent!r}.", at)
        elif by_key[body.parent].tier <= body.tier:
            yield _not_higher(body, by_key, at)


def _not_higher(body: Body, by_key: Mapping[str, Body], at: str) -> Finding:
    """A parent that is not higher; when the way up leads back to the body, it is a cycle."""
    if any(ancestor.key == body.key for ancestor in chain_above(body, by_key)):
        return Finding("body_cycle", f"The way up from {body.key!r} leads back to it.", at)
    return Finding("parent_not_higher", f"{body.parent!r} must have a higher tier than {body.key!r}.", at)


def chain_above(body: Body, by_key: Mapping[str, Body]) -> Iterator[Body]:
    """The bodies above, nearest first; ends at the top, at an unknown parent, or after one full cycle."""
    seen: set[str] = set()
    while body.parent is not None and body.parent in by_key and body.parent not in seen:
        body = by_key[body.parent]
        seen.add(body.key)
        yield body


def _parties(body: Body, at: str) -> Iterator[Finding]:
    for party in Party:
        voting = sum(seat.voting and seat.party is party for seat in body.seats)
        quorum = body.quorum.customer if party is Party.customer else body.quorum.provider
        if not voting:
            yield Finding("party_without_seat", f"Give the {party} a voting seat.", f"{at}/seats")
        elif quorum > voting:
            message = f"{quorum} cannot be reached with {voting} voting seats of the {party}."
            yield Finding("quorum_unreachable", message, f"{at}/quorum/{party}")
        if quorum < _least_quorum(body):
            message = f"A decision needs at least one voting seat of the {party}."
            yield Finding("quorum_without_party", message, f"{at}/quorum/{party}")


def _least_quorum(body: Body) -> int:
    # When harm is imminent one party may act alone in an emergency body and notify the other.
    return 0 if body.kind is BodyKind.emergency else 1


def _alternates(body: Body, at: str) -> Iterator[Finding]:
    for index, seat in enumerate(body.seats):
        if seat.voting and seat.member_id and not seat.alternate_id:
            message = "Name an alternate for this voting seat."
            yield Finding("missing_alternate", message, f"{at}/seats/{index}/alternate_id")
        if seat.member_id and seat.member_id == seat.alternate_id:
            message = "The alternate must be another person than the holder."
            yield Finding("alternate_is_holder", message, f"{at}/seats/{index}/alternate_id")
    voters = [(index, seat.member_id) for index, seat in enumerate(body.seats) if seat.voting]
    named = [(index, member) for index, member in voters if member]
    for position, _ in repeated(member for _, member in named):
        message = "One person cannot hold two voting seats of a body."
        yield Finding("seated_twice", message, f"{at}/seats/{named[position][0]}/member_id")


def _cadence(body: Body, at: str) -> Iterator[Finding]:
    for field in _CADENCES:
        rule: str = getattr(body, field)
        try:
            # A body without a cadence meets on demand.
            if rule:
                check_recurrence(rule, MEETING_FREQUENCIES)
        except Refusal as refusal:
            yield Finding(refusal.code, refusal.message, f"{at}/{field}")


def seat_findings(content: ExecutableCharter, members: Mapping[str, Party] | None) -> Iterator[Finding]:
    """People who sit for both parties, and people who are not members of the party they sit for."""
    first_party: dict[str, Party] = {}
    for member, party, at in chain(_seated(content), _final(content)):
        if first_party.setdefault(member, party) is not party:
            yield Finding("double_hatting", "One person cannot sit for both parties.", at)
        elif members is not None and members.get(member) is not party:
            yield Finding("not_a_member", f"This person is not an active member of the {party}.", at)


def _seated(content: ExecutableCharter) -> Iterator[tuple[str, Party, str]]:
    for index, body in enumerate(content.bodies):
        for place, seat in enumerate(body.seats):
            for field, member in _people(seat):
                yield member, seat.party, pointer("bodies", index, "seats", place, field)


def _people(seat: Seat) -> Iterator[tuple[str, str]]:
    if seat.member_id:
        yield "member_id", seat.member_id
    if seat.alternate_id:
        yield "alternate_id", seat.alternate_id


def _final(content: ExecutableCharter) -> Iterator[tuple[str, Party, str]]:
    for index, authority in enumerate(content.final_authorities):
        if authority.member_id:
            yield authority.member_id, authority.party, pointer("final_authorities", index, "member_id")
