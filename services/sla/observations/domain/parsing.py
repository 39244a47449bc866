"""Read canonical observations, one row at a time, from CSV cells or JSON values.

Either gives the same observation: text is accepted where JSON has a type of its own.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from services.sla.observations.domain.observation import Observation, ObservationKind, Pause, read_instant
from shared.pure.refusal import Refusal, Refused
from shared.pure.texts import needed

ATTRIBUTE = "attributes."
LARGEST_VERSION = 2**53 - 1
MOST_ATTRIBUTES, MOST_PAUSES = 32, 500
_LARGEST_EXPONENT, _MOST_DECIMALS = 15, 12
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_TRUTH = {"true": True, "false": False}
_KINDS = {kind.value: kind for kind in ObservationKind}
_COLUMNS = frozenset(Observation.__dataclass_fields__)


@dataclass(frozen=True)
class RowError:
    """Why a row was not taken: `line` counts from 1, `field` is the canonical name, or empty."""

    line: int
    field: str
    code: str
    message: str


def parse_row(row: Mapping[str, object], line: int) -> Observation | RowError:
    """The observation of one row; the first thing wrong with it otherwise."""
    try:
        return read_observation(row)
    except Refusal as refusal:
        return RowError(line, refusal.pointer or "", refusal.code, refusal.message)


def read_observation(row: Mapping[str, object]) -> Observation:
    """The observation of one row; the pointer of a refusal is the field's name."""
    given = {name: value for name, value in row.items() if value is not None and value != ""}
    for name in sorted(given.keys() - _COLUMNS):
        if not name.startswith(ATTRIBUTE):
            shown = _UNWRITABLE.sub("?", name[:80])
            raise Refused("unknown_field", f"{shown!r} is no field of an observation.", shown)
    for name in ("source", "source_id"):
        if name not in given:
            raise Refused("missing", f"{name} is missing.", name)
    read = {name: _read(given[name], name, reader) for name, reader in _READERS.items() if name in given}
    seen = Observation(**read, attributes=_attributes(given))
    _check(seen)
    return seen


def check_header(names: list[str]) -> None:
    """Refuse a CSV header that is empty, repeats a name, has unknown names or lacks the key."""
    unknown = [name for name in names if name not in _COLUMNS and not name.startswith(ATTRIBUTE)]
    missing = [name for name in ("source", "source_id") if name not in names]
    if len(names) == 1 and ";" in names[0]:
        message = "The cells are separated by semicolons. Save the table with commas between them."
        raise Refused("invalid_header", message, "")
    if unknown or missing or len(set(names)) != len(names):
        raise Refused(
            "invalid_header",
            f"The header needs source and source_id and may name each of {', '.join(sorted(_COLUMNS))}"
            f" or attributes.NAME once. Unknown: {[name[:80] for name in unknown[:5]]}.",
            "",
        )


def _check(seen: Observation) -> None:
    if seen.deleted:
        return
    needs: tuple[tuple[bool, str, str], ...] = (
        (not seen.service, "service", "Name the service it concerns."),
        (seen.occurred_at is None, "occurred_at", "Say when it occurred or started."),
        (seen.kind is ObservationKind.probe and seen.good is None, "good", "A probe is good or it is not."),
        (seen.kind is ObservationKind.coverage and seen.ended_at is None, "ended_at", "Coverage has an end."),
    )
    for broken, field, message in needs:
        if broken:
            raise Refused("missing", message, field)
    if seen.ended_at and seen.occurred_at and seen.ended_at < seen.occurred_at:
        raise Refused("ends_before_start", "It ends before it starts.", "ended_at")


def _read(value: object, name: str, read: Callable[[object], object]) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise Refused("invalid", f"{name}: {error}.", name) from None


def _text(longest: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("give text that is not blank")
        # One Unicode form, as the API's own texts have it: else `Café` from one system is not `Café` of the metric.
        value = needed(value)
        if len(value) > longest or _UNWRITABLE.search(value):
            raise ValueError(f"give at most {longest} characters, none of them a control character")
        return value

    return read


def _version(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_VERSION:
        raise ValueError(f"give a whole number from 0 to {LARGEST_VERSION}")
    return value


def _kind(value: object) -> ObservationKind:
    if not isinstance(value, str) or value not in _KINDS:
        raise ValueError(f"give one of {', '.join(ObservationKind)}")
    return _KINDS[value]


def _instant(value: object) -> datetime:
    moment = read_instant(value) if isinstance(value, str) else None
    if moment is None:
        raise ValueError("give an RFC 3339 time with its offset, such as 2026-10-01T08:00:00-04:00")
    return moment


def _decimal(value: object) -> Decimal:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise InvalidOperation
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError("give a number, its decimals after a point") from None
    if not number.is_finite() or "_" in str(value):
        raise ValueError("give a number, its decimals after a point")
    exponent = number.as_tuple().exponent
    if number.adjusted() > _LARGEST_EXPONENT or (isinstance(exponent, int) and -exponent > _MOST_DECIMALS):
        raise ValueError(f"give less than 10^{_LARGEST_EXPONENT + 1}, with at most {_MOST_DECIMALS} decimals")
    return number


def _boolean(value: object) -> bool:
    # TRUE and FALSE is how spreadsheets write them; words of other languages are for a mapping to translate.
    truth = (
        value if isinstance(value, bool) else _TRUTH.get(value.lower()) if isinstance(value, str) else None
    )
    if truth is None:
        raise ValueError("give true or false")
    return truth


def _pauses(value: object) -> tuple[Pause, ...]:
    if isinstance(value, str):
        value = [interval.split("/") for interval in value.split(";")]
    if not isinstance(value, list) or len(value) > MOST_PAUSES:
        raise ValueError(f"give at most {MOST_PAUSES} pauses")
    return tuple(_pause(pair) for pair in value)


def _pause(pair: object) -> Pause:
    if not isinstance(pair, list) or len(pair) != 2:
        raise ValueError("a pause is a start and an end")
    start, end = _instant(pair[0]), None if pair[1] in (None, "") else _instant(pair[1])
    if end is not None and end < start:
        raise ValueError("a pause ends before it starts")
    return start, end


def _attributes(row: Mapping[str, object]) -> dict[str, str]:
    given = row.get("attributes", {})
    if not isinstance(given, Mapping):
        raise Refused("invalid", "attributes: give an object of texts.", "attributes")
    columns = {name.removeprefix(ATTRIBUTE): row[name] for name in row if name not in _COLUMNS}
    attributes = {**given, **columns}
    if len(attributes) > MOST_ATTRIBUTES:
        raise Refused("invalid", f"attributes: give at most {MOST_ATTRIBUTES}.", "attributes")
    try:
        return {_NAME(name): _VALUE(value) for name, value in attributes.items()}
    except ValueError as error:
        raise Refused("invalid", f"attributes: {error}.", "attributes") from None


_NAME, _VALUE = _text(64), _text(500)
_READERS: Mapping[str, Callable[[object], object]] = {
    "source": _text(100),
    "source_id": _text(200),
    "version": _version,
    "kind": _kind,
    "service": _text(200),
    "occurred_at": _instant,
    "ended_at": _instant,
    "value": _decimal,
    "good": _boolean,
    "pauses": _pauses,
    "deleted": _boolean,
}
