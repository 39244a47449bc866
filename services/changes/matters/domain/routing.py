"""Who decides: the lowest body whose decision rights cover every dimension of an item's impact.

M3 Playbook 5.3: decisions are made at the lowest possible level; important or contentious items may go higher.
"""

from dataclasses import dataclass
from enum import StrEnum

from services.changes.matters.domain.impact import (
    Impact,
    ImpactValue,
    check_impact,
    is_within,
    limit_in_words,
    pointer,
    routing_part,
    value_in_words,
)
from shared.contracts.governance import Body, BodyKind, DecisionRight, ExecutableCharter
from shared.pure.refusal import Refused


class RequestReason(StrEnum):
    """Why a proposer may ask for a higher body than the computed one."""

    precedent = "precedent"
    contentious = "contentious"
    cross_customer = "cross_customer"
    legal_policy = "legal_policy"
    public_visibility = "public_visibility"
    safety_payroll = "safety_payroll"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why one dimension does not forbid the chosen body: `rule` is the row that grants it there.

    `lowest_body` is the body this dimension alone would have led to.
    """

    dimension: str
    value: ImpactValue
    rule: str
    lowest_body: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """The deciding body, with one explanation per assessed dimension.

    `computed_body` differs from `body` only when a higher one was asked for. With
    `required_missing` the route is provisional: the true body is this one or a higher one.
    """

    body: str
    tier: int
    computed_body: str
    explanation: tuple[Explanation, ...]
    required_missing: tuple[str, ...] = ()

    @property
    def rules(self) -> dict[str, str]:
        """The granting row of each dimension."""
        return {line.dimension: line.rule for line in self.explanation}


def route(
    content: ExecutableCharter,
    impact: Impact,
    *,
    emergency: bool = False,
    requested_body: str | None = None,
    reason_code: RequestReason | None = None,
    required: tuple[str, ...] | None = None,
    provisional: bool = False,
) -> Route:
    """The body that decides. `required` are the dimensions that must be known, by default those that
    the charter requires. Refuses `assess_first` when one is not, unless `provisional`; `no_competent_body` when no body covers the impact; and requests for a lower
    body, or for a higher one without a reason code."""
    check_impact(content, impact)
    impact = routing_part(impact)
    candidates = competent_order(content, emergency=emergency)
    computed = _lowest(content, candidates, impact)
    wanted = content.required_dimensions if required is None else required
    missing = () if _decides_by_kind(content, computed) else tuple(d for d in wanted if d not in impact)
    if missing and not provisional:
        raise Refused(
            "assess_first", f"Assess the required impact first: {', '.join(missing)}.", pointer(missing[0])
        )
    chosen = _requested(content, candidates, impact, computed, requested_body, reason_code)
    return Route(
        body=chosen.key,
        tier=chosen.tier,
        computed_body=computed.key,
        explanation=explain(content, chosen, impact, emergency=emergency),
        required_missing=missing,
    )


def route_to(
    content: ExecutableCharter, body: Body, computed_body: str, impact: Impact, *, emergency: bool
) -> Route:
    """The route back to a body that has had it."""
    lines = explain(content, body, impact, emergency=emergency)
    return Route(body=body.key, tier=body.tier, computed_body=computed_body, explanation=lines)


def explain(
    content: ExecutableCharter, body: Body, impact: Impact, *, emergency: bool = False
) -> tuple[Explanation, ...]:
    """Why the body may decide each dimension, those that did not decide included, in the charter's order."""
    candidates = competent_order(content, emergency=emergency)
    return tuple(
        Explanation(
            dimension=dimension,
            value=impact[dimension],
            rule=rule,
            lowest_body=_lowest(content, candidates, {dimension: impact[dimension]}).key,
            text=_in_words(content, body, dimension, impact[dimension]),
        )
        for dimension in content.routing_dimensions
        if dimension in impact
        and (rule := granting_rule(content, body, dimension, impact[dimension])) is not None
    )


def competent_order(content: ExecutableCharter, *, emergency: bool = False) -> tuple[Body, ...]:
    """The bodies in the order they are tried: lowest tier first, for an emergency its authority first."""
    allowed = [body for body in content.bodies if emergency or body.kind is BodyKind.standing]
    return tuple(sorted(allowed, key=lambda body: (body.tier, body.kind is BodyKind.standing)))


def granting_rule(content: ExecutableCharter, body: Body, dimension: str, value: ImpactValue) -> str | None:
    """The id of the row that lets the body decide that value; None when none does.

    An emergency authority without any row of its own decides by its kind: `emergency/<body>`.
    """
    if _decides_by_kind(content, body):
        return f"emergency/{body.key}"
    right = _granting_right(content, body, dimension, value)
    return right.id if right else None


def covers(content: ExecutableCharter, body: Body, impact: Impact) -> bool:
    """Whether the body may decide every given dimension."""
    return not _uncovered(content, body, impact)


def _decides_by_kind(content: ExecutableCharter, body: Body) -> bool:
    return body.kind is BodyKind.emergency and body.key not in content.rights_of_bodies


def _granting_right(
    content: ExecutableCharter, body: Body, dimension: str, value: ImpactValue
) -> DecisionRight | None:
    rights = content.rights_of_bodies.get(body.key, {}).get(dimension, ())
    return next((right for right in rights if is_within(content, right, value)), None)


def _uncovered(content: ExecutableCharter, body: Body, impact: Impact) -> list[str]:
    return [d for d, value in impact.items() if granting_rule(content, body, d, value) is None]


def _lowest(content: ExecutableCharter, candidates: tuple[Body, ...], impact: Impact) -> Body:
    for body in candidates:
        if covers(content, body, impact):
            return body
    blocked = _uncovered(content, candidates[-1], impact) if candidates else []
    raise Refused(
        "no_competent_body",
        f"No body of the charter may decide this ({', '.join(blocked) or 'it has no bodies'}); amend the charter.",
        pointer(blocked[0]) if blocked else None,
    )


def _requested(
    content: ExecutableCharter,
    candidates: tuple[Body, ...],
    impact: Impact,
    computed: Body,
    requested: str | None,
    reason: RequestReason | None,
) -> Body:
    """The body asked for, when it is higher and a reason code says why; else the computed one."""
    if requested is None or requested == computed.key:
        return computed
    body = next((candidate for candidate in candidates if candidate.key == requested), None)
    if body is None:
        raise Refused("unknown_body", f"The charter has no such body: {requested}.", "/requested_body")
    if body.tier <= computed.tier:
        raise Refused(
            "lower_than_computed",
            f"{computed.name} is the lowest body that may decide this; only a higher one can be asked for.",
            "/requested_body",
        )
    if reason is None:
        raise Refused(
            "reason_code_required", "Say with a reason code why a higher body should decide.", "/reason_code"
        )
    if not covers(content, body, impact):
        raise Refused("not_competent", f"{body.name} may not decide this impact.", "/requested_body")
    return body


def _in_words(content: ExecutableCharter, body: Body, dimension: str, value: ImpactValue) -> str:
    subject = dimension.removesuffix("_percent").removesuffix("_days").replace("_", " ")
    right = _granting_right(content, body, dimension, value)
    limit = limit_in_words(content, right) if right else "of any size in an emergency"
    return f"{body.name} may decide {subject} {limit}; here it is {value_in_words(dimension, value)}."
