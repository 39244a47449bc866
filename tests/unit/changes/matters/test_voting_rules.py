"""Positions: one vote per party, who may cast it, and what two votes amount to."""

from dataclasses import dataclass
from itertools import product

import pytest

from services.changes.matters.domain.voting import (
    Outcome,
    Vote,
    Voter,
    cast,
    check_voter,
    entitled_seat,
    outcome,
)
from shared.contracts.governance import Body, Party, Quorum, Role, Seat
from shared.pure.refusal import Refusal

BOARD = Body(
    key="smb",
    name="Service Management Board",
    tier=2,
    quorum=Quorum(customer=1, provider=1),
    seats=(
        Seat(party=Party.customer, role=Role.om_team, member_id="ada", alternate_id="abe"),
        Seat(party=Party.customer, role=Role.business_owner),
        Seat(party=Party.provider, role=Role.om_team),
        Seat(party=Party.provider, role=Role.isso, voting=False),
    ),
)


@dataclass(frozen=True)
class Ballot:
    """The part of a position that counts."""

    party: Party
    vote: Vote


def vote(party: Party, choice: Vote) -> Ballot:
    return Ballot(party, choice)


def voter(member: str, party: Party, *roles: Role) -> Voter:
    return Voter(member_id=member, party=party, roles=frozenset(roles))


@pytest.mark.parametrize(("customer", "provider"), list(product(Vote, Vote)))
def test_two_equal_votes_decide_and_two_different_ones_deadlock(customer: Vote, provider: Vote) -> None:
    agreed = {Vote.approve: Outcome.approved, Vote.reject: Outcome.rejected, Vote.defer: Outcome.deferred}
    expected = agreed[customer] if customer is provider else Outcome.deadlocked
    assert outcome([vote(Party.customer, customer), vote(Party.provider, provider)]) is expected


@pytest.mark.parametrize(
    "ballots", [[], [vote(Party.customer, Vote.approve)], [vote(Party.provider, Vote.reject)]]
)
def test_silence_is_never_consent(ballots: list[Ballot]) -> None:
    assert outcome(ballots) is None


def test_a_party_may_change_its_vote_until_the_other_has_voted() -> None:
    ballots = cast((), vote(Party.customer, Vote.reject))
    ballots = cast(ballots, vote(Party.customer, Vote.approve))
    ballots = cast(ballots, vote(Party.provider, Vote.approve))
    assert outcome(ballots) is Outcome.approved
    assert len(ballots) == 2


def test_nobody_votes_after_an_agreed_outcome() -> None:
    decided = (vote(Party.customer, Vote.approve), vote(Party.provider, Vote.approve))
    with pytest.raises(Refusal) as refused:
        cast(decided, vote(Party.customer, Vote.reject))
    assert refused.value.code == "already_decided"


def test_a_party_may_still_give_way_after_a_deadlock() -> None:
    deadlocked = (vote(Party.customer, Vote.approve), vote(Party.provider, Vote.reject))
    assert outcome(cast(deadlocked, vote(Party.customer, Vote.reject))) is Outcome.rejected


@pytest.mark.parametrize(
    ("who", "seated"),
    [
        (voter("ada", Party.customer), True),
        (voter("abe", Party.customer), True),
        (voter("amy", Party.customer, Role.om_team), False),
        (voter("amy", Party.customer, Role.business_owner), False),
        (voter("ada", Party.provider), False),
        (voter("pat", Party.provider, Role.om_team), True),
        (voter("pat", Party.provider, Role.isso), False),
        (voter("pat", Party.provider, Role.observer), False),
    ],
)
def test_a_named_member_or_alternate_votes_and_a_role_holder_only_for_a_party_that_names_nobody(
    who: Voter, seated: bool
) -> None:
    assert (entitled_seat(BOARD, who) is not None) is seated


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (voter("ada", Party.customer, Role.om_team), "own_proposal"),
        (voter("zoe", Party.customer, Role.om_team), "not_seated"),
    ],
)
def test_the_requester_and_the_unseated_do_not_vote(who: Voter, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_voter(BOARD, who, requester_id="ada")
    assert refused.value.code == code


def test_a_colleague_of_the_requester_may_vote() -> None:
    check_voter(BOARD, voter("abe", Party.customer), requester_id="ada")
