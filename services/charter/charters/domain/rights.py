"""Rules for decision rights: every dimension ends at a body without limit, and limits grow upwards."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from services.charter.charters.domain.bodies import chain_above
from services.charter.charters.domain.keys import repeated
from shared.contracts.governance import (
    AMOUNT_KINDS,
    SAVINGS,
    BodyKind,
    DecisionRight,
    ExecutableCharter,
    LimitKind,
)
from shared.pure.refusal import Finding, pointer

_HUNDRED = Decimal(100)

Rows = Mapping[tuple[str, str], int]


def right_findings(content: ExecutableCharter) -> Iterator[Finding]:
    """Findings about each row, each dimension, and each step from a body to the body above it."""
    yield from _references(content)
    yield from _rows(content)
    yield from _totality(content)
    yield from _growth(content)


def _references(content: ExecutableCharter) -> Iterator[Finding]:
    for name, amount in (content.reference_amounts or {}).items():
        if amount <= 0:
            message = "A reference amount must be positive."
            yield Finding("reference_amount_not_positive", message, pointer("reference_amounts", name))


def _rows(content: ExecutableCharter) -> Iterator[Finding]:
    bodies = {body.key for body in content.bodies}
    for index, row in enumerate(content.decision_rights):
        at = pointer("decision_rights", index)
        if row.dimension in SAVINGS:
            message = "Savings are recorded beside the costs and lead to no body; leave this row out."
            yield Finding("savings_do_not_route", message, f"{at}/dimension")
        if row.body not in bodies:
            yield Finding("unknown_body", f"The charter has no body {row.body!r}.", f"{at}/body")
        yield from _limit(row, at)
        yield from _levels(content, row, at)
        if row.percent_of is not None and row.percent_of not in (content.reference_amounts or {}):
            message = f"Give {row.percent_of!r} a value in reference_amounts."
            yield Finding("unknown_reference_amount", message, f"{at}/percent_of")
    for index, _ in repeated((row.dimension, row.body) for row in content.decision_rights):
        message = "A body has one row per dimension."
        yield Finding("duplicate_right", message, pointer("decision_rights", index))


def _limit(row: DecisionRight, at: str) -> Iterator[Finding]:
    """Each kind uses its own fields and no others: a stray amount would look like a limit."""
    if row.kind in AMOUNT_KINDS:
        if row.amount is None:
            yield Finding("missing_amount", f"{row.kind} needs an amount.", f"{at}/amount")
        elif row.amount < 0:
            yield Finding("negative_amount", "An amount cannot be negative.", f"{at}/amount")
    elif row.amount is not None:
        yield Finding("unexpected_amount", f"{row.kind} has no amount.", f"{at}/amount")


def _levels(content: ExecutableCharter, row: DecisionRight, at: str) -> Iterator[Finding]:
    """`one_of` lists what it allows; `any` may name the levels that only its body decides."""
    if row.kind is LimitKind.one_of and not row.levels:
        yield Finding("missing_levels", "one_of needs at least one level.", f"{at}/levels")
    elif row.levels and row.kind not in (LimitKind.one_of, LimitKind.any):
        yield Finding("unexpected_levels", f"{row.kind} has no levels.", f"{at}/levels")
    elif row.levels and row.kind is LimitKind.any and row.dimension in content.amount_dimensions:
        message = f"{row.dimension!r} is limited by amounts, so it has no levels."
        yield Finding("unexpected_levels", message, f"{at}/levels")


def _totality(content: ExecutableCharter) -> Iterator[Finding]:
    standing = {body.key for body in content.bodies if body.kind is BodyKind.standing}
    terminal = {
        r.dimension for r in content.decision_rights if r.kind is LimitKind.any and r.body in standing
    }
    last_row = {row.dimension: index for index, row in enumerate(content.decision_rights)}
    for dimension, index in last_row.items():
        if dimension not in terminal:
            message = f"No standing body decides {dimension!r} without limit; give the top body kind any."
            yield Finding("no_terminal_body", message, pointer("decision_rights", index, "kind"))
    for index, dimension in enumerate(content.required_dimensions):
        if dimension not in last_row:
            message = f"{dimension!r} is required, so it needs rows in decision_rights."
            yield Finding("dimension_without_rights", message, pointer("required_dimensions", index))


def _growth(content: ExecutableCharter) -> Iterator[Finding]:
    """Compare each standing body's row with the row of the body above it."""
    rows: dict[tuple[str, str], int] = {}
    for index, row in enumerate(content.decision_rights):
        rows.setdefault((row.dimension, row.body), index)
    by_key = {body.key: body for body in reversed(content.bodies)}
    for (dimension, key), index in rows.items():
        body = by_key.get(key)
        if body is None or body.kind is BodyKind.emergency:
            continue
        above = next(chain_above(body, by_key), None)
        if above is not None and above.tier > body.tier:
            yield from _step(content, index, rows.get((dimension, above.key)), above.key)


def _step(content: ExecutableCharter, below: int, above: int | None, parent: str) -> Iterator[Finding]:
    lower = content.decision_rights[below]
    if lower.kind is LimitKind.none:
        return
    if above is None:
        message = f"{parent!r} hears what {lower.body!r} cannot decide, so it needs a row for it too."
        yield Finding("gap_above", message, pointer("decision_rights", below, "body"))
        return
    upper = content.decision_rights[above]
    if _incomparable(lower, upper):
        message = "Amounts and levels cannot be mixed within one dimension."
        yield Finding("mixed_kinds", message, pointer("decision_rights", above, "kind"))
    elif not _covers(upper, lower, content.reference_amounts or {}):
        message = f"{parent!r} may decide less than {lower.body!r} below it."
        yield Finding("limit_not_growing", message, pointer("decision_rights", above, _field(upper)))


def _incomparable(lower: DecisionRight, upper: DecisionRight) -> bool:
    kinds = {lower.kind, upper.kind}
    return LimitKind.one_of in kinds and not kinds.isdisjoint(AMOUNT_KINDS)


def _covers(upper: DecisionRight, lower: DecisionRight, references: Mapping[str, Decimal]) -> bool:
    """Whether everything `lower` allows, `upper` allows too; true where an amount is unknown."""
    if upper.kind is LimitKind.any:
        return True
    if upper.kind is LimitKind.none or lower.kind is LimitKind.any:
        return False
    if upper.kind is LimitKind.one_of:
        return set(lower.levels) <= set(upper.levels)
    high, low = _amount(upper, references), _amount(lower, references)
    if high is None or low is None:
        return True
    strictly = upper.kind is LimitKind.below and lower.kind is LimitKind.at_most
    return high > low if strictly else high >= low


def _amount(row: DecisionRight, references: Mapping[str, Decimal]) -> Decimal | None:
    if row.amount is None or row.percent_of is None:
        return row.amount
    reference = references.get(row.percent_of)
    return None if reference is None else row.amount * reference / _HUNDRED


def _field(row: DecisionRight) -> str:
    if row.kind in AMOUNT_KINDS:
        return "amount"
    return "levels" if row.kind is LimitKind.one_of else "kind"
