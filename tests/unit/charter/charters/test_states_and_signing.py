"""The charter's life as a table, and who may sign what."""

from uuid import UUID, uuid4

import pytest

from services.charter.charters.domain.signing import SIGNATORIES, Signed, admit, missing
from services.charter.charters.domain.states import CHARTER, CharterAction, CharterState
from shared.contracts.governance import Party, Role
from shared.pure.refusal import Refusal

HASH = "a" * 64
ALLOWED = {
    CharterState.draft: {CharterAction.edit, CharterAction.freeze},
    CharterState.ratification: {CharterAction.sign, CharterAction.decline, CharterAction.activate},
    CharterState.active: {CharterAction.begin_termination},
    CharterState.terminating: set(),
}


def signed(party: Party, role: Role, member: UUID | None = None, hash_: str = HASH) -> Signed:
    return Signed(party=party, role=role, member_id=member or uuid4(), content_hash=hash_)


@pytest.mark.parametrize("state", CharterState)
@pytest.mark.parametrize("action", CharterAction)
def test_a_state_allows_its_own_actions_and_refuses_all_others(
    state: CharterState, action: CharterAction
) -> None:
    if action in ALLOWED[state]:
        assert CHARTER.next(state, action) in CharterState
    else:
        with pytest.raises(Refusal) as refused:
            CHARTER.next(state, action)
        assert refused.value.code == "not_allowed"


def test_a_declined_charter_is_a_draft_again() -> None:
    assert CHARTER.next(CharterState.ratification, CharterAction.decline) is CharterState.draft


def test_four_signatures_ratify_and_the_missing_ones_are_named() -> None:
    given = [signed(*signatory) for signatory in SIGNATORIES]

    assert missing([]) == SIGNATORIES
    assert missing(given[:3]) == (SIGNATORIES[3],)
    assert missing(given) == ()


def test_one_party_cannot_complete_the_signatures_alone() -> None:
    given = [signed(party, role) for party, role in SIGNATORIES if party is Party.customer]

    assert {party for party, _ in missing(given)} == {Party.provider}


ANN = uuid4()


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        (signed(Party.customer, Role.executive_sponsor, hash_="b" * 64), "wrong_content_hash"),
        (signed(Party.customer, Role.om_team), "not_a_signatory"),
        (signed(Party.customer, Role.executive_sponsor, ANN), "already_signed"),
        (signed(Party.provider, Role.business_owner, ANN), "already_signed"),
        (signed(Party.customer, Role.business_owner), "role_already_signed"),
    ],
)
def test_a_signature_is_refused(signature: Signed, code: str) -> None:
    given = [signed(Party.customer, Role.business_owner, ANN)]

    with pytest.raises(Refusal) as refused:
        admit(signature, given, HASH)
    assert refused.value.code == code


def test_the_refusal_of_a_wrong_hash_names_the_right_one() -> None:
    with pytest.raises(Refusal, match=HASH):
        admit(signed(Party.customer, Role.business_owner, hash_="b" * 64), [], HASH)


def test_the_other_role_of_the_same_party_may_sign() -> None:
    admit(
        signed(Party.customer, Role.executive_sponsor),
        [signed(Party.customer, Role.business_owner, ANN)],
        HASH,
    )
