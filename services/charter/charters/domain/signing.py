"""Who ratifies a charter: both parties' Business Owner and Executive Sponsor, over the same text."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from shared.contracts.governance import Party, Role
from shared.pure.refusal import Refused


class Signatory(NamedTuple):
    """A place under the text."""

    party: Party
    role: Role


SIGNATORIES: tuple[Signatory, ...] = tuple(
    Signatory(party, role) for party in Party for role in (Role.business_owner, Role.executive_sponsor)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """One signature over the text with that hash."""

    party: Party
    role: Role
    member_id: UUID
    content_hash: str


def admit(signature: Signed, given: Collection[Signed], frozen_hash: str) -> None:
    """Let the signature join those already given.

    Refuses `wrong_content_hash`, `not_a_signatory`, `already_signed` (the person, in any role) and
    `role_already_signed` (the party's role, by somebody else).
    """
    if signature.content_hash != frozen_hash:
        message = f"The frozen text has the hash {frozen_hash}; read it again and sign that."
        raise Refused("wrong_content_hash", message, "/content_hash")
    if (signature.party, signature.role) not in SIGNATORIES:
        raise Refused("not_a_signatory", f"The {signature.role} does not sign a charter.", "/role")
    if any(other.member_id == signature.member_id for other in given):
        raise Refused("already_signed", "A person signs once, for one party and in one role.")
    if any((other.party, other.role) == (signature.party, signature.role) for other in given):
        message = f"The {signature.party}'s {signature.role} has signed already."
        raise Refused("role_already_signed", message, "/role")


def missing(given: Collection[Signed]) -> tuple[Signatory, ...]:
    """Who has still to sign, customer first; empty when the text is ratified."""
    signed = {(signature.party, signature.role) for signature in given}
    return tuple(signatory for signatory in SIGNATORIES if signatory not in signed)
