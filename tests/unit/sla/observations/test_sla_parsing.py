"""Reading observations from rows, and turning rows of other systems into them."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest

from services.sla.observations.domain.observation import ObservationKind, fingerprint
from services.sla.observations.domain.parsing import RowError, check_header, parse_row
from services.sla.observations.service.mapping import load_mapping, map_row
from shared.pure.refusal import Refusal

EXAMPLES = Path(__file__).resolve().parents[4] / "services" / "sla" / "examples"
PROBE = {
    "source": "status-page",
    "source_id": "1",
    "kind": "probe",
    "service": "payroll",
    "occurred_at": "2026-10-01T08:00:00-04:00",
    "good": "true",
}
LOG = """
source_id = "{number}"
zone = "America/Chicago"
[constants]
source = "desk"
service = "desk"
[columns]
occurred_at = "opened"
[state_log]
column = "log"
stop = ["Resolved", "Closed"]
pause = ["Waiting"]
"""


def test_text_and_json_values_give_the_same_observation():
    cells = {**PROBE, "version": "3", "value": "1.50", "attributes.http": "200", "ended_at": ""}
    native = {**PROBE, "version": 3, "value": Decimal("1.5"), "good": True, "attributes": {"http": "200"}}
    one, other = parse_row(cells, 1), parse_row(native, 1)
    assert one == other
    assert fingerprint(one) == fingerprint(other)
    assert one.occurred_at == datetime(2026, 10, 1, 12, tzinfo=UTC)
    assert (one.kind, one.good, one.value) == (ObservationKind.probe, True, Decimal("1.5"))


def test_pauses_read_as_iso_intervals_or_as_pairs():
    first, second = "2026-10-01T08:00:00Z", "2026-10-01T09:00:00Z"
    cells = parse_row({**PROBE, "kind": "event", "pauses": f"{first}/{second};{second}/"}, 1)
    native = parse_row({**PROBE, "kind": "event", "pauses": [[first, second], [second, None]]}, 1)
    assert cells == native
    assert cells.pauses[1][1] is None


def test_a_tombstone_needs_its_key_only():
    gone = parse_row({"source": "a", "source_id": "1", "version": "2", "deleted": "true"}, 1)
    assert gone.deleted


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"source": ""}, "source", "missing"),
        ({"source_id": None}, "source_id", "missing"),
        ({"source_id": "x" * 201}, "source_id", "invalid"),
        ({"source_id": "a\x00b"}, "source_id", "invalid"),
        ({"source_id": "\ud800"}, "source_id", "invalid"),
        ({"source_id": 7}, "source_id", "invalid"),
        ({"version": "-1"}, "version", "invalid"),
        ({"version": "1.0"}, "version", "invalid"),
        ({"version": True}, "version", "invalid"),
        ({"version": 2**53}, "version", "invalid"),
        ({"version": "٣"}, "version", "invalid"),
        ({"kind": "guess"}, "kind", "invalid"),
        ({"kind": ["probe"]}, "kind", "invalid"),
        ({"service": ""}, "service", "missing"),
        ({"occurred_at": ""}, "occurred_at", "missing"),
        ({"occurred_at": "2026-10-01T08:00:00"}, "occurred_at", "invalid"),
        ({"occurred_at": "2026-10-01"}, "occurred_at", "invalid"),
        ({"occurred_at": "2026-02-30T08:00:00Z"}, "occurred_at", "invalid"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at", "invalid"),
        ({"occurred_at": "1066-01-01T00:00:00Z"}, "occurred_at", "invalid"),
        ({"occurred_at": 1759320000}, "occurred_at", "invalid"),
        ({"ended_at": "2026-10-01T07:00:00-04:00"}, "ended_at", "ends_before_start"),
        ({"good": ""}, "good", "missing"),
        ({"good": "yes"}, "good", "invalid"),
        ({"good": 1}, "good", "invalid"),
        ({"value": "NaN"}, "value", "invalid"),
        ({"value": "Infinity"}, "value", "invalid"),
        ({"value": "1e999999"}, "value", "invalid"),
        ({"value": "1e-999999"}, "value", "invalid"),
        ({"value": "1_000"}, "value", "invalid"),
        ({"value": "abc"}, "value", "invalid"),
        ({"value": 1.5}, "value", "invalid"),
        ({"value": True}, "value", "invalid"),
        ({"pauses": "never"}, "pauses", "invalid"),
        ({"pauses": [["2026-10-01T08:00:00Z", "2026-10-01T07:00:00Z"]]}, "pauses", "invalid"),
        ({"pauses": {"a": 1}}, "pauses", "invalid"),
        ({"attributes": "http=200"}, "attributes", "invalid"),
        ({"attributes": {"http": 200}}, "attributes", "invalid"),
        ({"attributes": {str(n): "x" for n in range(33)}}, "attributes", "invalid"),
        ({"colour": "red"}, "colour", "unknown_field"),
        ({"kind": "coverage"}, "ended_at", "missing"),
    ],
)
def test_a_bad_row_is_reported_with_line_field_and_reason(change, field, code):
    error = parse_row({**PROBE, **change}, 17)
    assert isinstance(error, RowError)
    assert (error.line, error.field, error.code) == (17, field, code)
    assert error.message


@pytest.mark.parametrize(
    "names", [["source"], ["source", "source_id", "source_id"], ["source", "source_id", "colour"], []]
)
def test_a_header_must_name_the_key_and_nothing_unknown(names):
    with pytest.raises(Refusal, match="header"):
        check_header(names)


def test_a_header_may_name_attributes():
    check_header(["source", "source_id", "attributes.priority", "kind"])


def test_a_fingerprint_is_of_what_was_said_so_that_later_fields_leave_it_alone():
    canonical = (
        '{"attributes":{"team":"a"},"good":false,"kind":"probe","occurred_at":"2026-10-01T12:00:00Z",'
        '"service":"payroll","source":"status-page","source_id":"1","value":"0"}'
    )
    row = PROBE | {"good": "false", "value": "0.0", "attributes": {"team": "a"}}
    assert fingerprint(parse_row(row, 1)) == sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(
    ("log", "ended", "pauses"),
    [
        ("10:05=New|11:00=Resolved|12:00=Closed", "11:00", []),
        ("10:05=New|11:00=Waiting|11:30=Waiting|12:00=Active|13:00=Resolved", "13:00", [("11:00", "12:00")]),
        ("10:05=New|11:00=Waiting|12:00=Resolved", "12:00", [("11:00", "12:00")]),
        ("10:05=New|11:00=Resolved|12:00=Active|13:00=Resolved", "13:00", []),
        ("10:05=New|11:00=Waiting", None, [("11:00", None)]),
        ("10:05=New|11:00=Waiting|11:00=Active", None, []),
        ("10:05=New", None, []),
        ("11:00=Resolved", "11:00", []),
    ],
)
def test_a_log_of_states_gives_the_end_and_the_pauses(log, ended, pauses):
    def local(time):
        return f"2026-10-01T{time}:00-05:00" if time else None

    def utc(time):
        return datetime.fromisoformat(local(time)).astimezone(UTC).isoformat()[:19] + "Z" if time else None

    stamped = "|".join(f"2026-10-01T{entry}" for entry in log.split("|"))
    row = map_row(load_mapping(LOG), {"number": "7", "opened": "2026-10-01T10:00", "log": stamped}, 1)
    assert row["occurred_at"] == utc("10:00")
    assert row.get("ended_at") == utc(ended)
    assert row["pauses"] == [[utc(start), utc(end)] for start, end in pauses]


@pytest.mark.parametrize(
    ("row", "field", "code"),
    [
        ({"number": "7", "opened": "2026-10-01T10:00"}, "state_log", "missing_column"),
        ({"number": "7", "opened": "yesterday", "log": ""}, "occurred_at", "invalid"),
        ({"number": "7", "opened": "", "log": ""}, "occurred_at", "missing"),
        ({"number": "", "opened": "2026-10-01T10:00", "log": ""}, "source_id", "missing"),
    ],
)
def test_a_row_the_mapping_cannot_read_is_reported(row, field, code):
    error = map_row(load_mapping(LOG), row, 3)
    assert isinstance(error, RowError)
    assert (error.line, error.field, error.code) == (3, field, code)


def test_values_translate_unknown_ones_are_errors_and_unwanted_rows_are_skipped():
    text = (EXAMPLES / "status_checks.toml").read_text() + '\n[skip]\nservice = ["Test page"]\n'
    mapping = load_mapping(text)
    row = {
        "checked_at": "2026-10-01T08:00:00+00:00",
        "service": "Payroll",
        "status": "up",
        "http_status": "200",
        "response_ms": "378",
    }
    assert map_row(mapping, row, 2) == {
        "source": "status-page",
        "source_id": "Payroll@2026-10-01T08:00:00+00:00",
        "kind": "probe",
        "service": "Payroll",
        "occurred_at": "2026-10-01T08:00:00Z",
        "good": "true",
        "value": "378",
        "attributes": {"http_status": "200"},
    }
    assert map_row(mapping, row | {"service": "Test page"}, 2) is None
    odd = map_row(mapping, row | {"status": "sideways"}, 2)
    assert isinstance(odd, RowError)
    assert (odd.field, odd.code) == ("good", "unmapped_value")


@pytest.mark.parametrize(
    "text",
    [
        "zone = ",
        "speed = 3",
        "[columns]\ncolour = 'x'",
        "columns = 3",
        "[columns]\nservice = 1.5",
        "[skip]\nservice = 'x'",
        "[state_log]\nstop = ['Done']",
        "[state_log]\ncolumn = 'log'\nend = ['Done']",
    ],
)
def test_a_mapping_that_cannot_work_is_refused(text):
    with pytest.raises(Refusal) as refused:
        load_mapping(text)
    assert refused.value.code == "invalid_mapping"


def test_a_mapped_row_is_json_a_client_can_send():
    row = {"number": "7", "opened": "2026-10-01T10:00", "log": "2026-10-01T11:00=Resolved"}
    mapped = map_row(load_mapping(LOG), row, 1)
    assert parse_row(json.loads(json.dumps(mapped)), 1) == parse_row(mapped, 1)
