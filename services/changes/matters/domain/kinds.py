"""The kinds of matters as a table: what must be known, who may put one, how it may end."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.changes.matters.domain.routing import RequestReason
from services.changes.matters.domain.voting import Vote
from shared.contracts.governance import ExecutableCharter, Party, Role, Severity
from shared.pure.refusal import Forbidden, Refused, pointer

BOTH = frozenset(Party)
WORKING = frozenset({Role.om_team, Role.business_owner})
DECIDABLE = frozenset(Vote)
YES_OR_NO = frozenset({Vote.approve, Vote.reject})


class MatterKind(StrEnum):
    """What may be put to a body. The value is the kind of the subject."""

    change_request = "change_request"
    service_request = "service_request"
    risk_acceptance = "risk_acceptance"
    issue = "issue"
    sla_dispute = "sla_dispute"
    exclusion_claim = "exclusion_claim"
    corrective_action_plan = "corrective_action_plan"
    charter_amendment = "charter_amendment"
    freeze_window = "freeze_window"
    agreement_modification = "agreement_modification"
    emergency_ratification = "emergency_ratification"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One row of the table.

    `classes` are the decision classes it may be put under. `dimensions` must be known before it is
    routed; None asks for those that the charter requires of every change. `parties` and `roles` may
    put it; what nobody but a service can put has no roles.
    """

    classes: frozenset[str]
    dimensions: tuple[str, ...] | None
    parties: frozenset[Party] = BOTH
    roles: frozenset[Role] = WORKING
    outcomes: frozenset[Vote] = DECIDABLE


KINDS: dict[MatterKind, Kind] = {
    MatterKind.change_request: Kind(
        classes=frozenset({"change.standard", "change.normal", "change.emergency"}), dimensions=None
    ),
    MatterKind.service_request: Kind(
        classes=frozenset({"service_request"}), dimensions=("cost_one_time", "cost_annual", "schedule_days")
    ),
    MatterKind.risk_acceptance: Kind(
        classes=frozenset({"risk_acceptance"}),
        dimensions=("risk_acceptance",),
        roles=WORKING | {Role.isso},
    ),
    MatterKind.issue: Kind(classes=frozenset({"issue"}), dimensions=()),
    MatterKind.sla_dispute: Kind(
        classes=frozenset({"sla_dispute"}),
        dimensions=("sla_dispute",),
        parties=frozenset({Party.customer}),
        outcomes=YES_OR_NO,
    ),
    MatterKind.exclusion_claim: Kind(
        classes=frozenset({"exclusion_claim"}),
        dimensions=("sla_dispute",),
        outcomes=YES_OR_NO,
    ),
    MatterKind.corrective_action_plan: Kind(
        classes=frozenset({"corrective_action_plan"}),
        dimensions=("cap_approval",),
        parties=frozenset({Party.provider}),
        outcomes=YES_OR_NO,
    ),
    MatterKind.charter_amendment: Kind(
        classes=frozenset({"charter_amendment"}),
        dimensions=("charter_amendment",),
        roles=WORKING | {Role.secretariat},
    ),
    MatterKind.freeze_window: Kind(classes=frozenset({"freeze_window"}), dimensions=("calendar",)),
    MatterKind.agreement_modification: Kind(
        classes=frozenset({"agreement_modification"}),
        dimensions=("agreement",),
        roles=WORKING | {Role.contracting_officer},
    ),
    MatterKind.emergency_ratification: Kind(
        classes=frozenset({"emergency_ratification"}), dimensions=None, outcomes=YES_OR_NO
    ),
}
WORDS: dict[str, type[StrEnum]] = {"severity": Severity, "origin": Party, "reason_code": RequestReason}
"""The fields of what is put that take a word of a list. A later program may know more of them."""
EMERGENCY = "change.emergency"
"""The one class that the emergency authority may decide."""


def kind_of(name: str) -> Kind:
    """The row of a kind; refuses `unknown_kind`, naming those that exist."""
    try:
        return KINDS[MatterKind(name)]
    except ValueError:
        raise Refused(
            "unknown_kind", f"There is no kind of matter {name}; it is one of {', '.join(MatterKind)}."
        ) from None


def check_class(kind: Kind, decision_class: str) -> None:
    """Refuses `unknown_decision_class`."""
    if decision_class not in kind.classes:
        known = ", ".join(sorted(kind.classes))
        raise Refused("unknown_decision_class", f"{decision_class} is none of its classes: {known}.")


def check_putter(kind: Kind, party: Party, roles: Collection[Role] | None) -> None:
    """Refuses `may_not_put` for a party or roles the table does not let put it. None: a service put it by itself."""
    if party not in kind.parties or (roles is not None and not kind.roles & set(roles)):
        parties, named = " or ".join(sorted(kind.parties)), ", ".join(sorted(kind.roles))
        raise Forbidden("may_not_put", f"Only the {parties} may put this, and only as {named}.")


def check_words(put: Mapping[str, object]) -> None:
    """Refuses `unknown_severity`, `unknown_origin` and `unknown_reason_code`: words of a later program than this."""
    for name in unknown_words(put):
        known = ", ".join(WORDS[name])
        raise Refused(
            f"unknown_{name}", f"The {name} {put[name]} is unknown here; it is one of {known}.", pointer(name)
        )


def unknown_words(put: Mapping[str, object]) -> list[str]:
    """The fields whose word this program does not know."""
    given = ((name, put.get(name)) for name in WORDS)
    return [name for name, word in given if word is not None and word not in list(WORDS[name])]


def required_dimensions(kind: Kind, content: ExecutableCharter) -> tuple[str, ...]:
    return content.required_dimensions if kind.dimensions is None else kind.dimensions
