"""What other systems write, as they write it: Unicode forms, decimals, TRUE, repeated hours, later states of a row."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.sla.observations.domain.observation import Observation, fingerprint
from services.sla.observations.domain.parsing import RowError, check_header, parse_row, read_observation
from services.sla.observations.service.mapping import load_mapping, map_row
from shared.pure.refusal import Refusal

TICKETS = (Path(__file__).resolve().parents[4] / "services" / "sla" / "examples" / "tickets.toml").read_text()
COMPOSED, DECOMPOSED = "Caf\u00e9 Zahlung", "Cafe\u0301 Zahlung"
PROBE = {
    "source": "status-page",
    "source_id": "1",
    "kind": "probe",
    "service": "payroll",
    "occurred_at": "2026-10-05T12:00:00Z",
    "good": "true",
}


def read(**changes: object) -> Observation:
    seen = parse_row({**PROBE, **changes}, 1)
    assert isinstance(seen, Observation), seen
    return seen


def rejected(**changes: object) -> RowError:
    error = parse_row({**PROBE, **changes}, 1)
    assert isinstance(error, RowError)
    return error


@pytest.mark.parametrize("field", ["service", "source", "source_id"])
def test_a_name_is_the_same_in_either_unicode_form(field: str) -> None:
    one, other = read(**{field: COMPOSED}), read(**{field: DECOMPOSED})
    assert getattr(other, field) == COMPOSED
    assert fingerprint(one) == fingerprint(other)


def test_attributes_and_their_names_are_the_same_in_either_unicode_form() -> None:
    assert read(**{f"attributes.{DECOMPOSED}": DECOMPOSED}).attributes == {COMPOSED: COMPOSED}
    assert read(attributes={DECOMPOSED: DECOMPOSED}).attributes == {COMPOSED: COMPOSED}


@pytest.mark.parametrize("text", ["\u200b", "\u00a0", "pay\u200broll", "pay\u202eroll", "pay\nroll"])
def test_a_name_nobody_can_read_is_rejected(text: str) -> None:
    assert rejected(service=text).field == "service"


@pytest.mark.parametrize(
    ("decimals", "microsecond"),
    [
        (".1", 100_000),
        (".123456", 123_456),
        (".1234567", 123_456),
        (".123456789", 123_456),
        (".9999999999", 999_999),
    ],
)
def test_decimals_of_a_second_are_taken_and_cut_beyond_the_microsecond(
    decimals: str, microsecond: int
) -> None:
    written = f"2026-10-05T12:00:00{decimals}Z"
    expected = datetime(2026, 10, 5, 12, 0, 0, microsecond, tzinfo=UTC)
    pauses = f"{written}/2026-10-05T13:00:00{decimals}+00:00"
    seen = read(occurred_at=written, kind="event", pauses=pauses, **{"attributes.at": written})
    assert seen.occurred_at == seen.pauses[0][0] == seen.instant("at") == expected


@pytest.mark.parametrize("written", ["TRUE", "True", "true", True])
def test_true_is_taken_as_spreadsheets_write_it(written: object) -> None:
    assert read(good=written).good is True


@pytest.mark.parametrize("written", ["FALSE", "False", "false", False])
def test_false_is_taken_as_spreadsheets_write_it(written: object) -> None:
    assert read(good=written).good is False
    assert read(deleted=written).deleted is False


@pytest.mark.parametrize("written", ["yes", "no", "1", "0", "WAHR", "t", "ＴＲＵＥ", 1, " TRUE"])
def test_other_words_for_true_are_for_a_mapping_to_translate(written: object) -> None:
    assert rejected(good=written).field == "good"


@pytest.mark.parametrize("written", ["1,5", "1.234,56", "1 234", "1_000", "1'000"])
def test_a_decimal_comma_is_rejected_since_it_may_mean_thousands(written: str) -> None:
    assert "decimals after a point" in rejected(value=written).message


def test_a_table_with_semicolons_is_told_from_one_without_the_key() -> None:
    with pytest.raises(Refusal, match="separated by semicolons"):
        check_header(["source;source_id;kind"])


def ticket(number: str, opened_at: str, log: str) -> dict[str, str]:
    return {"number": number, "opened_at": opened_at, "priority": "2 - High", "state_log": log}


def mapped(row: dict[str, str], text: str = TICKETS) -> Observation:
    row_read = map_row(load_mapping(text), row, 2)
    assert isinstance(row_read, dict), row_read
    return read_observation(row_read)


def utc(time: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-01T{time}+00:00")


@pytest.mark.parametrize(
    ("opened", "log", "began", "ended", "pauses"),
    [
        ("01:50", "01:50=New|01:20=Resolved", "05:50", "06:20", []),
        (
            "00:30",
            "00:30=New|01:40=Waiting for Customer|01:10=In Progress|02:10=Resolved",
            "04:30",
            "07:10",
            [("05:40", "06:10")],
        ),
        ("01:10", "01:20=New|01:50=Resolved", "05:10", "05:50", []),
        ("01:50", "01:20=New|01:30=Resolved", "05:50", "06:30", []),
        ("00:30", "01:30=New|01:20=In Progress|01:10=Resolved", "04:30", "06:10", []),
        ("01:30", "01:40-05:00=New|01:45=Resolved", "05:30", "06:45", []),
    ],
    ids=[
        "resolved in the second pass",
        "a pause across the change",
        "all in the first pass",
        "logged in the second pass, since it was opened late in the first",
        "a clock that runs backwards twice",
        "an offset says which",
    ],
)
def test_the_order_of_a_log_tells_which_of_two_hours_was_meant(
    opened: str, log: str, began: str, ended: str, pauses: list[tuple[str, str]]
) -> None:
    stamped = "|".join(f"2026-11-01T{entry}" for entry in log.split("|"))

    seen = mapped(ticket("D1", f"2026-11-01T{opened}", stamped))

    assert (seen.occurred_at, seen.ended_at) == (utc(began), utc(ended))
    assert seen.pauses == tuple((utc(start), utc(end)) for start, end in pauses)


COLUMNS = """
source_id = "{id}"
zone = "America/New_York"
updated_at = "changed"
[constants]
source = "desk"
service = "desk"
[columns]
occurred_at = "opened"
ended_at = "closed"
"""


def row(opened: str, closed: str, changed: str) -> dict[str, str]:
    return {"id": "7", "opened": opened, "closed": closed, "changed": changed}


def test_an_end_that_would_lie_before_its_beginning_is_in_the_second_hour() -> None:
    seen = mapped(row("2026-11-01T01:50", "2026-11-01T01:20", "2026-11-01T03:00"), COLUMNS)
    assert (seen.occurred_at, seen.ended_at) == (utc("05:50"), utc("06:20"))


def test_an_hour_that_clocks_skip_is_read_as_before() -> None:
    seen = mapped(row("2026-03-08T02:30", "2026-03-08T03:40", "2026-03-09T00:00"), COLUMNS)
    assert seen.occurred_at == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    assert seen.ended_at == datetime(2026, 3, 8, 7, 40, tzinfo=UTC)


def test_a_time_of_change_orders_the_states_of_a_row() -> None:
    states = [
        mapped(row("2026-10-01T09:00", closed, changed), COLUMNS)
        for closed, changed in (
            ("", "2026-10-01T09:00:00.1234567"),
            ("", "2026-10-01T09:00:00.123457"),
            ("2026-10-02T10:00", "2026-10-02T10:00"),
        )
    ]
    versions = [seen.version for seen in states]
    assert versions == sorted(set(versions))
    assert versions[0] == 1_790_859_600_123_456


def test_the_last_entry_of_a_log_orders_the_states_of_a_ticket() -> None:
    first_week = "2026-10-05T09:00=New|2026-10-05T09:30=In Progress"
    first = mapped(ticket("T1", "2026-10-05T09:00", first_week))
    second = mapped(ticket("T1", "2026-10-05T09:00", f"{first_week}|2026-10-06T15:00=Resolved"))
    assert (first.source_id, first.ended_at) == (second.source_id, None)
    assert second.ended_at == datetime(2026, 10, 6, 19, tzinfo=UTC)
    assert first.version < second.version


def test_a_column_of_revisions_orders_before_the_log_does() -> None:
    text = TICKETS.replace("[columns]", '[columns]\nversion = "revision"')
    assert (
        mapped(ticket("T1", "2026-10-05T09:00", "2026-10-05T09:00=New") | {"revision": "3"}, text).version
        == 3
    )


def test_a_row_that_does_not_say_when_it_changed_is_rejected() -> None:
    error = map_row(load_mapping(COLUMNS), row("2026-10-01T09:00", "", ""), 4)
    assert isinstance(error, RowError)
    assert (error.field, error.line) == ("version", 4)


@pytest.mark.parametrize(
    "text",
    [
        COLUMNS.replace("[columns]", '[columns]\nversion = "revision"'),
        COLUMNS.replace("[constants]", "[constants]\nversion = 2"),
        COLUMNS.replace('"{id}"', '"{id"'),
        "zone = 5",
        "zone = ''",
        "zone = ['UTC']",
    ],
)
def test_a_mapping_that_contradicts_itself_is_refused_before_any_row(text: str) -> None:
    with pytest.raises(Refusal):
        load_mapping(text)


def test_columns_values_and_skipped_words_are_found_in_either_unicode_form() -> None:
    text = f"""
    source_id = "{{{COMPOSED}}}"
    [constants]
    source = "desk"
    service = "{DECOMPOSED}"
    [columns]
    occurred_at = "{DECOMPOSED} at"
    good = "état"
    [values.good]
    "{COMPOSED}" = true
    [skip]
    "{COMPOSED}" = ["{DECOMPOSED} test"]
    """
    cells: dict[str, Any] = {
        DECOMPOSED: "7",
        f"{COMPOSED} at": "2026-10-01T09:00Z",
        "e\u0301tat": DECOMPOSED,
    }
    read = map_row(load_mapping(text), cells, 2)
    assert isinstance(read, dict), read
    assert (read["service"], read["source_id"], read["good"]) == (COMPOSED, "7", "true")
    assert map_row(load_mapping(text), cells | {DECOMPOSED: f"{COMPOSED} test"}, 2) is None
