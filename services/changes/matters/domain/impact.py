"""The impact of an item, dimension by dimension, held against one row of the decision-rights table."""

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from shared.contracts.governance import SAVINGS, DecisionRight, ExecutableCharter, LimitKind
from shared.pure.refusal import Refused

ImpactValue = Decimal | int | str
Impact = Mapping[str, ImpactValue]

_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,10})?")
# How an amount reads, by the way charters name dimensions; the first fit counts.
_UNITS = (
    ("percent", "{} %"),
    ("days", "{} business days"),
    ("hours", "{} hours"),
    ("cost", "${}"),
    ("savings", "${}"),
)


def check_impact(content: ExecutableCharter, impact: Impact) -> None:
    """Refuses `unknown_dimension`, `unknown_level` and what `as_number` refuses, with a pointer to the value."""
    known = (*content.routing_dimensions, *SAVINGS)
    for dimension, value in impact.items():
        if dimension not in known:
            raise Refused(
                "unknown_dimension",
                f"The charter has no rule for {dimension}; it knows {', '.join(known)}.",
                pointer(dimension),
            )
        if dimension in content.amount_dimensions or dimension in SAVINGS:
            as_number(dimension, value)
        elif dimension in content.levels_of_dimensions:
            _check_level(dimension, value, content.levels_of_dimensions[dimension])


def _check_level(dimension: str, value: ImpactValue, levels: tuple[str, ...]) -> None:
    # A typing error must not look like a matter for the top body, which decides every level.
    if str(value) not in levels:
        raise Refused(
            "unknown_level",
            f"{dimension} has the levels {', '.join(levels)}; choose the one that fits.",
            pointer(dimension),
        )


def routing_part(impact: Impact) -> Impact:
    """The dimensions that lead to a body: all but the savings, which are recorded beside the costs."""
    return {dimension: value for dimension, value in impact.items() if dimension not in SAVINGS}


@lru_cache(maxsize=4096, typed=True)
def as_number(dimension: str, value: ImpactValue) -> Fraction:
    """The exact number of a value, 0 or more; refuses `impact_not_a_number` (also for exponents and
    NaN) and `negative_amount`."""
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    if not _NUMBER.fullmatch(text):
        raise Refused(
            "impact_not_a_number",
            f"{dimension} is limited by an amount; give a plain number such as 180000.00.",
            pointer(dimension),
        )
    if text.startswith("-"):
        raise Refused(
            "negative_amount",
            f"{dimension} is 0 or more. A saving goes under {' or '.join(SAVINGS)}; time gained counts as 0.",
            pointer(dimension),
        )
    return Fraction(text)


def bound(content: ExecutableCharter, right: DecisionRight) -> Fraction:
    """The row's amount in the dimension's unit; refuses rows of a draft that do not say it."""
    if right.amount is None:
        raise Refused("limit_without_amount", f"Rule {right.id} of the charter has no amount.")
    if right.id not in content.bounds:
        raise Refused(
            "reference_amount_missing",
            f"Rule {right.id} is a percentage of {right.percent_of}, which the charter does not state.",
        )
    return content.bounds[right.id]


def is_within(content: ExecutableCharter, right: DecisionRight, value: ImpactValue) -> bool:
    """Whether the row grants that value: `at_most` includes its bound, `below` does not."""
    match right.kind:
        case LimitKind.any:
            return True
        case LimitKind.none:
            return False
        case LimitKind.one_of:
            return str(value) in right.levels
        case LimitKind.at_most:
            return as_number(right.dimension, value) <= bound(content, right)
        case LimitKind.below:
            return as_number(right.dimension, value) < bound(content, right)


def limit_in_words(content: ExecutableCharter, right: DecisionRight) -> str:
    """The row's limit for people, for example `up to and including $250,000`."""
    match right.kind:
        case LimitKind.any:
            return "without limit"
        case LimitKind.none:
            return "not at all"
        case LimitKind.one_of:
            return "when it is " + " or ".join(level.replace("_", " ") for level in right.levels)
        case LimitKind.at_most:
            return f"up to and including {_amount_in_words(content, right)}"
        case LimitKind.below:
            return f"below {_amount_in_words(content, right)}"


def value_in_words(dimension: str, value: ImpactValue) -> str:
    """A value with its unit: `$180,000`, `15 business days`, `target change`."""
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    if not _NUMBER.fullmatch(text):
        return text.replace("_", " ")
    grouped = f"{Decimal(text):,f}"
    words = dimension.split("_")
    return next((form.format(grouped) for word, form in _UNITS if word in words), grouped)


def pointer(dimension: str) -> str:
    """The RFC 6901 pointer to a dimension of the request body."""
    return "/impact/" + dimension.replace("~", "~0").replace("/", "~1")


def _amount_in_words(content: ExecutableCharter, right: DecisionRight) -> str:
    amount = bound(content, right)
    exact = Decimal(amount.numerator) / Decimal(amount.denominator)
    words = value_in_words(right.dimension, exact.normalize() if exact % 1 else Decimal(int(exact)))
    if right.percent_of is None:
        return words
    return f"{right.amount} % of {right.percent_of.replace('_', ' ')} ({words})"
