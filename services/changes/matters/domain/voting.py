"""Positions in a bilateral body: one standing vote per party, and what two votes amount to.

Head counts would hide the real state between two parties: a 3 to 3 split is disagreement.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from shared.contracts.governance import Body, Party, Role, Seat
from shared.pure.refusal import Refused


class Vote(StrEnum):
    """What a seat may say."""

    approve = "approve"
    reject = "reject"
    defer = "defer"


class Outcome(StrEnum):
    """What the ballot of both parties amounts to. A deadlock is normal: the next body decides."""

    approved = "approved"
    rejected = "rejected"
    deferred = "deferred"
    deadlocked = "deadlocked"


AGREED = {Vote.approve: Outcome.approved, Vote.reject: Outcome.rejected, Vote.defer: Outcome.deferred}


class PositionStatus(StrEnum):
    """`standing` counts now, `counted` decided, `replaced` was changed by its party, `void` lost its body."""

    standing = "standing"
    counted = "counted"
    replaced = "replaced"
    void = "void"


class Position(Protocol):
    """The part of a seat's position that counts. Today one standing position is its party's vote."""

    @property
    def party(self) -> Party: ...

    @property
    def vote(self) -> Vote: ...


P = TypeVar("P", bound=Position)


@dataclass(frozen=True, kw_only=True)
class Voter:
    """Who wants to vote, and for which party."""

    member_id: str
    party: Party
    roles: frozenset[Role]


def voting_seats(body: Body) -> dict[str, Seat]:
    """The voting seats of a body by their keys, in the charter's order.

    A key is made of party, role and number, so it stays the same in every version of the charter that
    keeps the seat.
    """
    counted: Counter[str] = Counter()
    keyed: dict[str, Seat] = {}
    for seat in body.seats:
        if seat.voting:
            kind = f"{seat.party}.{seat.role}"
            counted[kind] += 1
            keyed[f"{kind}.{counted[kind]}"] = seat
    return keyed


def entitled_seat(body: Body, voter: Voter) -> str | None:
    """The key of the voting seat on which the voter may speak for the party; None when there is none.

    Named members and alternates vote. Only while none of the party's voting seats names
    anybody may a member vote who holds the role of such a seat.
    """
    seats = {key: seat for key, seat in voting_seats(body).items() if seat.party is voter.party}
    named = {key: seat for key, seat in seats.items() if seat.member_id or seat.alternate_id}
    if named:
        people = ((key, (seat.member_id, seat.alternate_id)) for key, seat in named.items())
        return next((key for key, both in people if voter.member_id in both), None)
    return next((key for key, seat in seats.items() if seat.role in voter.roles), None)


def check_voter(body: Body, voter: Voter, requester_id: str | None) -> str:
    """The seat the voter speaks from. Refuses `own_proposal` for the requester, `not_seated` without a seat."""
    if voter.member_id == requester_id:
        raise Refused(
            "own_proposal", "Nobody votes on their own proposal; another seated member of your party must."
        )
    seat = entitled_seat(body, voter)
    if seat is None:
        raise Refused("not_seated", f"You hold no voting seat of the {voter.party} in the {body.name}.")
    return seat


def cast(standing: Iterable[P], position: P) -> tuple[P, ...]:
    """The positions with this one in place of its party's former vote; refuses `already_decided`.

    After a deadlock a party may still move: at the last rung there is no body to take it further.
    """
    before = tuple(standing)
    if outcome(before) not in (None, Outcome.deadlocked):
        raise Refused("already_decided", "Both parties have voted; the vote is closed.")
    return (*(other for other in before if other.party is not position.party), position)


def outcome(standing: Iterable[Position]) -> Outcome | None:
    """None until both parties have voted; silence is never consent."""
    votes = {position.party: position.vote for position in standing}
    if len(votes) < len(Party):
        return None
    if len(set(votes.values())) > 1:
        return Outcome.deadlocked
    return AGREED[votes[Party.customer]]
