"""Turn rows of any table into canonical observations, as a small TOML file says.

A mapping names the columns that become fields, constants, how values translate, the zone of times
without an offset, rows to skip, and how a log of states becomes an end and pauses.
"""

import tomllib
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from string import Formatter
from unicodedata import normalize
from zoneinfo import ZoneInfo

from services.sla.observations.domain.observation import Observation, Pause
from services.sla.observations.domain.parsing import RowError, read_observation
from shared.calendars.zones import zone_named
from shared.pure.refusal import Refusal, Refused

_TIMES = ("occurred_at", "ended_at")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECTIONS = frozenset(
    {"constants", "columns", "attributes", "values", "skip", "state_log", "source_id", "updated_at", "zone"}
)
_FIELDS = frozenset(Observation.__dataclass_fields__) - {"attributes", "pauses"}


@dataclass(frozen=True, kw_only=True)
class StateLog:
    """How `time=state|time=state` reads. The item ends when it enters a `stop` state for good, so an
    item that was reopened ends later; it pauses while in a `pause` state."""

    column: str
    stop: frozenset[str]
    pause: frozenset[str] = frozenset()
    entry_separator: str = "|"
    state_separator: str = "="


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """`columns` is field to column, `attributes` attribute to column, `values` field to translation;
    `skip` column to the values whose rows are passed over; `source_id` a template of `{columns}`;
    `updated_at` the column that says when the row last changed, by which its states are ordered."""

    columns: dict[str, str]
    constants: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    skip: dict[str, frozenset[str]] = field(default_factory=dict)
    source_id: str | None = None
    updated_at: str | None = None
    zone: ZoneInfo | None = None
    state_log: StateLog | None = None


def load_mapping(text: str) -> Mapping:
    """The mapping a TOML text describes; refuses `invalid_mapping`."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(f"not TOML: {error}") from None
    _refuse_unknown(set(given) - _SECTIONS)
    columns, constants = _texts(given, "columns"), _texts(given, "constants")
    _refuse_unknown((set(columns) | set(constants)) - _FIELDS)
    updated_at = _word(given, "updated_at")
    if updated_at and "version" in columns.keys() | constants.keys():
        raise _invalid("version and updated_at both order the states of a row; give one of them")
    return Mapping(
        columns=columns,
        constants=constants,
        attributes=_texts(given, "attributes"),
        values={name: _texts(_table(given, "values"), name) for name in _table(given, "values")},
        skip={_plain(name): _words(_table(given, "skip"), name) for name in _table(given, "skip")},
        source_id=_template(_word(given, "source_id")),
        updated_at=updated_at,
        zone=zone_named(_word(given, "zone") or "") if "zone" in given else None,
        state_log=_state_log(_table(given, "state_log")),
    )


def map_row(mapping: Mapping, row: dict[str, str], line: int) -> dict[str, object] | RowError | None:
    """The row as canonical JSON, checked; None for a row the mapping skips, else what is wrong with it."""
    row = {normalize("NFC", column): normalize("NFC", cell or "") for column, cell in row.items()}
    if any(row.get(column) in unwanted for column, unwanted in mapping.skip.items()):
        return None
    try:
        mapped = _mapped(mapping, row)
        read_observation(mapped)
    except Refusal as refusal:
        return RowError(line, refusal.pointer or "", refusal.code, refusal.message)
    return mapped


def _mapped(mapping: Mapping, row: Table[str, str]) -> dict[str, object]:
    mapped: dict[str, object] = dict(mapping.constants)
    mapped |= {name: _cell(row, column, name) for name, column in mapping.columns.items()}
    for name, translation in mapping.values.items():
        mapped[name] = _translated(translation, str(mapped.get(name, "")), name)
    if mapping.source_id is not None:
        mapped["source_id"] = _filled(mapping.source_id, row)
    attributes = {name: _cell(row, column, name) for name, column in mapping.attributes.items()}
    mapped["attributes"] = {name: value for name, value in attributes.items() if value}
    began: datetime | None = None
    for name in _TIMES:
        if mapped.get(name):
            began = _moment(str(mapped[name]), mapping.zone, name, after=began)
            mapped[name] = _written(began)
    if mapping.state_log is not None:
        mapped |= _from_log(mapping, mapping.state_log, row, mapped)
    if mapping.updated_at is not None:
        changed = _cell(row, mapping.updated_at, "version")
        mapped["version"] = _order(_moment(changed, mapping.zone, "version"))
    return {name: value for name, value in mapped.items() if value not in ("", None)}


def _from_log(
    mapping: Mapping, rule: StateLog, row: Table[str, str], mapped: Table[str, object]
) -> dict[str, object]:
    """`ended_at`, `pauses` and, where no column gives them, `occurred_at` and `version` from the item's states."""
    began = datetime.fromisoformat(str(mapped["occurred_at"])) if mapped.get("occurred_at") else None
    log = _read_log(rule, _cell(row, rule.column, "state_log"), mapping.zone, began)
    if not log:
        return {}
    working = log[: _stopped_from(rule, log)]
    ended = log[len(working)][0] if len(working) < len(log) else None
    left_at = [moment for moment, _ in working[1:]] + [ended]
    pauses = [
        (entered, left)
        for (entered, state), left in zip(working, left_at, strict=False)
        if state in rule.pause
    ]
    return {
        "occurred_at": mapped.get("occurred_at") or _written(log[0][0]),
        "version": mapped.get("version") or _order(log[-1][0]),
        "ended_at": ended and _written(ended),
        "pauses": [[_written(start), end and _written(end)] for start, end in _joined(pauses)],
    }


def _stopped_from(rule: StateLog, log: list[tuple[datetime, str]]) -> int:
    """Where the stop states that end the log begin."""
    working = [index for index, (_, state) in enumerate(log) if state not in rule.stop]
    return working[-1] + 1 if working else 0


def _joined(pauses: list[Pause]) -> list[Pause]:
    """Pauses that follow each other without a gap, as one; those without any length are dropped."""
    joined: list[Pause] = []
    for start, end in pauses:
        if end is not None and end <= start:
            continue
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _read_log(
    rule: StateLog, text: str, zone: ZoneInfo | None, began: datetime | None
) -> list[tuple[datetime, str]]:
    """Instants and states in the log's own order, which is right even where a clock was not."""
    log: list[tuple[datetime, str]] = []
    for entry in filter(None, text.split(rule.entry_separator)):
        time, _, state = entry.partition(rule.state_separator)
        log.append((_moment(time, zone, "state_log", after=log[-1][0] if log else began), state))
    return log


def _moment(text: str, zone: ZoneInfo | None, name: str, after: datetime | None = None) -> datetime:
    """The instant in UTC, cut off beyond the microsecond.

    A local time that comes twice, as clocks go back, is the first one that does not lie before `after`, else the later.
    """
    try:
        written = datetime.fromisoformat(text.strip())
        if written.tzinfo is None and zone is None:
            raise Refused("invalid", f"{text[:40]!r} has no offset and the mapping names no zone.", name)
        meant = _meanings(written, zone)
    except (ValueError, OverflowError):
        raise Refused("invalid", f"{text[:40]!r} is no ISO 8601 time.", name) from None
    if after is None:
        return meant[0]
    return next((moment for moment in meant if moment >= after), meant[-1])


def _meanings(written: datetime, zone: ZoneInfo | None) -> list[datetime]:
    """The instants that a written time may stand for, earliest first: two in the hour that clocks repeat."""
    if written.tzinfo is not None:
        return [written.astimezone(UTC)]
    first, second = (written.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    # In an hour that clocks skip the second would lie before the first.
    return [first, second] if first < second else [first]


def _order(changed: datetime) -> int:
    """A version that grows with the time a row last changed: microseconds since 1970."""
    return (changed - _EPOCH) // _MICROSECOND


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _cell(row: Table[str, str], column: str, name: str) -> str:
    if column not in row:
        raise Refused("missing_column", f"The row has no column {column!r}.", name)
    return (row[column] or "").strip()


def _translated(translation: dict[str, str], value: str, name: str) -> str:
    if value not in translation:
        raise Refused("unmapped_value", f"The mapping does not say what {value[:40]!r} means.", name)
    return translation[value]


def _filled(template: str, row: Table[str, str]) -> str:
    parts = Formatter().parse(template)
    return "".join(text + (_cell(row, column, "source_id") if column else "") for text, column, _, _ in parts)


def _state_log(given: dict[str, object]) -> StateLog | None:
    if not given:
        return None
    _refuse_unknown(set(given) - set(StateLog.__dataclass_fields__))
    column = _word(given, "column")
    if column is None:
        raise _invalid("state_log needs a column")
    return StateLog(
        column=column,
        stop=_words(given, "stop"),
        pause=_words(given, "pause"),
        entry_separator=_word(given, "entry_separator") or "|",
        state_separator=_word(given, "state_separator") or "=",
    )


def _table(given: dict[str, object], name: str) -> dict[str, object]:
    value = given.get(name, {})
    if not isinstance(value, dict):
        raise _invalid(f"{name} is not a table")
    return value


def _texts(given: dict[str, object], name: str) -> dict[str, str]:
    return {_plain(key): _plain(value) for key, value in _table(given, name).items()}


def _template(text: str | None) -> str | None:
    """A template as given; refused when its braces do not fit."""
    try:
        list(Formatter().parse(text or ""))
    except ValueError as error:
        raise _invalid(f"source_id {text!r}: {error}") from None
    return text


def _words(given: dict[str, object], name: str) -> frozenset[str]:
    value = given.get(name, [])
    if not isinstance(value, list):
        raise _invalid(f"{name} is not a list")
    return frozenset(_plain(item) for item in value)


def _word(given: dict[str, object], name: str) -> str | None:
    value = given.get(name)
    return None if value is None else _plain(value)


def _plain(value: object) -> str:
    """TOML's own true, false and numbers read as the text a CSV cell would hold; texts in Unicode form NFC."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return normalize("NFC", str(value))
    raise _invalid(f"{value!r} is neither text nor a whole number")


def _refuse_unknown(names: set[str]) -> None:
    if names:
        raise _invalid(f"unknown: {', '.join(sorted(names))}")


def _invalid(message: str) -> Refusal:
    return Refused("invalid_mapping", f"This is no mapping: {message}.")
