"""What is wrong with an input, as people who send it would say it: one sentence per place, no word of our tools."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastapi.exceptions import RequestValidationError

from shared.pure.refusal import Finding, pointer

MOST_FINDINGS: Final = 100  # of a refused request; an answer must not be forty times its question

# What pydantic calls each kind of error, and what we say; `{}` are filled from the error's own facts.
SENTENCES: Final[Mapping[str, str]] = {
    "missing": "This is required.",
    "extra_forbidden": "There is no such field.",
    "string_type": "Give a text.",
    "string_unicode": "Give a text of valid characters.",
    "string_too_short": "Give at least {min_length} characters.",
    "string_too_long": "Give at most {max_length} characters.",
    "string_pattern_mismatch": "Give a text of the form {pattern}",
    "int_type": "Give a whole number.",
    "int_parsing": "Give a whole number.",
    "int_parsing_size": "Give a smaller number.",
    "int_from_float": "Give a whole number.",
    "float_type": "Give a number.",
    "float_parsing": "Give a number.",
    "finite_number": "Give a finite number.",
    "decimal_type": "Give an amount.",
    "decimal_parsing": "Give an amount.",
    "decimal_max_digits": "Give at most {max_digits} digits.",
    "decimal_max_places": "Give at most {decimal_places} decimal places.",
    "decimal_whole_digits": "Give at most {whole_digits} digits before the decimal point.",
    "greater_than": "Give more than {gt}.",
    "greater_than_equal": "Give {ge} or more.",
    "less_than": "Give less than {lt}.",
    "less_than_equal": "Give {le} or less.",
    "bool_type": "Give true or false.",
    "bool_parsing": "Give true or false.",
    "enum": "Give one of {expected}.",
    "literal_error": "Give one of {expected}.",
    "uuid_type": "Give an id, such as 0198c0de-0000-7000-8000-000000000000.",
    "uuid_parsing": "Give an id, such as 0198c0de-0000-7000-8000-000000000000.",
    "list_type": "Give a list.",
    "tuple_type": "Give a list.",
    "dict_type": "Give an object.",
    "model_type": "Give an object.",
    "model_attributes_type": "Give an object.",
    "dataclass_type": "Give an object.",
    "too_short": "Give at least {min_length}.",
    "too_long": "Give at most {max_length}.",
    "union_tag_invalid": "Give one of {expected_tags} as {discriminator}.",
    "union_tag_not_found": "Say which kind it is: {discriminator} is missing.",
    "date_from_datetime_inexact": "Give a date, such as 2026-10-01.",
    "date_from_datetime_parsing": "Give a date, such as 2026-10-01.",
    "date_parsing": "Give a date, such as 2026-10-01.",
    "date_type": "Give a date, such as 2026-10-01.",
    "datetime_parsing": "Give an instant with its offset, such as 2026-10-01T08:00:00-04:00.",
    "datetime_from_date_parsing": "Give an instant with its offset, such as 2026-10-01T08:00:00-04:00.",
    "datetime_type": "Give an instant with its offset, such as 2026-10-01T08:00:00-04:00.",
    "timezone_aware": "Give the offset too, such as 2026-10-01T08:00:00-04:00.",
    "time_parsing": "Give a time of day, such as 08:00:00.",
    "time_type": "Give a time of day, such as 08:00:00.",
}
NO_VALUE: Final = "none_required"
"""An optional input is a union with nothing: that it is not nothing is no fault of its own."""


def findings_of(error: RequestValidationError) -> list[Finding]:
    """One finding per place, in the order of the input's definition."""
    faults = [fault for fault in error.errors() if fault["type"] != NO_VALUE] or error.errors()
    findings: dict[str, Finding] = {}
    for fault in faults[: MOST_FINDINGS * 2]:
        where = pointer(*_places(fault, error.body))
        findings.setdefault(where, Finding(str(fault["type"]), _sentence(fault), where))
    return list(findings.values())[:MOST_FINDINGS]


def _sentence(fault: Mapping[str, Any]) -> str:
    facts = fault.get("ctx", {})
    if fault["type"] == "value_error":
        return str(facts["error"])
    sentence = SENTENCES.get(fault["type"])
    return str(fault["msg"]) if sentence is None else sentence.format_map(facts)


def _places(fault: Mapping[str, Any], body: object) -> Iterator[str | int]:
    """The parts of the error's location that are places of the input, without those that name a type."""
    source, *parts = fault["loc"]
    if source != "body":
        yield source
        yield from (part for number, part in enumerate(parts) if number == 0 or isinstance(part, int))
        return
    value = body
    for number, part in enumerate(parts):
        if _has(value, part):
            yield part
            value = value[part]  # type: ignore[index]
        elif fault["type"] == "missing" and number == len(parts) - 1:
            yield part


def _has(value: object, part: str | int) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, Sequence) and isinstance(part, int) and 0 <= part < len(value)
