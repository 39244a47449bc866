"""Ballots of a bilateral body: one vote per party, and what two votes amount to.

Head counts would hide the real state between two parties: a 3 to 3 split is disagreement.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.contracts.governance import Body, Party, Role, Seat
from shared.pure.canonical import content_hash
from shared.pure.refusal import Refused


class Vote(StrEnum):
    approve = "approve"
    reject = "reject"
    defer = "defer"


class Outcome(StrEnum):
    """What the ballot of both parties amounts to. A deadlock is normal: the next body hears it."""

    approved = "approved"
    rejected = "rejected"
    deferred = "deferred"
    deadlocked = "deadlocked"


AGREED = {Vote.approve: Outcome.approved, Vote.reject: Outcome.rejected, Vote.defer: Outcome.deferred}


class BallotStatus(StrEnum):
    """`standing` counts now, `counted` decided, `replaced` was changed by its party, `void` lost its body."""

    standing = "standing"
    counted = "counted"
    replaced = "replaced"
    void = "void"


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """The vote of one party, cast by one of its members. Dissent within the party is kept as text."""

    party: Party
    member_id: str
    vote: Vote
    rationale: str = ""
    conditions: str = ""
    dissent: str = ""


@dataclass(frozen=True, kw_only=True)
class Voter:
    """Who wants to vote, and for which party."""

    member_id: str
    party: Party
    roles: frozenset[Role]


def entitled_seat(body: Body, voter: Voter) -> Seat | None:
    """The voting seat by which the voter may cast the party's vote; None when there is none.

    Named members and alternates vote. Only while none of the party's voting seats names
    anybody may a member vote who holds the role of such a seat.
    """
    seats = [seat for seat in body.seats if seat.voting and seat.party is voter.party]
    named = [seat for seat in seats if seat.member_id or seat.alternate_id]
    if named:
        return next((seat for seat in named if voter.member_id in (seat.member_id, seat.alternate_id)), None)
    return next((seat for seat in seats if seat.role in voter.roles), None)


def check_voter(body: Body, voter: Voter, requester_id: str) -> None:
    """Refuses `own_proposal` for the requester and `not_seated` without a voting seat."""
    if voter.member_id == requester_id:
        raise Refused(
            "own_proposal", "Nobody votes on their own proposal; another seated member of your party must."
        )
    if entitled_seat(body, voter) is None:
        raise Refused("not_seated", f"You hold no voting seat of the {voter.party} in the {body.name}.")


def cast(ballots: Iterable[Ballot], ballot: Ballot) -> tuple[Ballot, ...]:
    """The ballots with this one in place of the party's former vote; refuses `already_decided`.

    After a deadlock a party may still move: at the last rung there is no body to take it further.
    """
    before = tuple(ballots)
    if outcome(before) not in (None, Outcome.deadlocked):
        raise Refused("already_decided", "Both parties have voted; the vote is closed.")
    return (*(other for other in before if other.party is not ballot.party), ballot)


def outcome(ballots: Iterable[Ballot]) -> Outcome | None:
    """None until both parties have voted; silence is never consent."""
    votes = {ballot.party: ballot.vote for ballot in ballots}
    if len(votes) < len(Party):
        return None
    if len(set(votes.values())) > 1:
        return Outcome.deadlocked
    return AGREED[votes[Party.customer]]


def fingerprint(snapshot: Mapping[str, object]) -> str:
    """SHA-256 of what was decided upon, so that a later reader can tell whether the text still is the same."""
    return content_hash(snapshot)
