"""Values that do not belong where they are put, by what the document says about the field."""

from collections.abc import Iterator
from typing import Any

from tests.hostile.samples import Field, resolved

LONG = "x" * 5000
UNWRITABLE: tuple[object, ...] = ("\x00", "\x1b[2J", "\ud800", {"\ud800": 1}, {"\x00": 1})
"""What neither PostgreSQL nor a terminal can hold: never to be taken, whatever the document says."""
ANYWHERE: tuple[object, ...] = (
    *(None, "", 0, -1, 2**63, 1.5, 1e300, True, LONG, [], {}, [[]], [None], {"": {}}),
    *(*UNWRITABLE, "NaN", "0", "-1", "true"),
)
TEXTS = (
    *(
        "localtime",
        "America",
        "../../etc/passwd",
        "=HYPERLINK(1)",
        "２０２６-１０",
        "\u202egnp.exe",
        "\ufeff",
        "a\u0301" * 200,
    ),
    *(
        "9999-12",
        "0001-01",
        "FY00",
        "\n",
        " ",
        "%00",
        "{subject}",
        "{0.__class__}",
        "'; DROP TABLE member; --",
    ),
)
DATES = (
    "0001-01-01",
    "1990-01-01",
    "9999-12-31",
    "10000-01-01",
    "2026-02-30",
    "2026-10-01T00:00:00Z",
    "today",
    "20261001",
)
INSTANTS = (
    *(
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-11-10T15:00:00",
        "2026-11-10T24:00:00Z",
    ),
    *("2026-11-10", "now", "1e10", "2026-11-10T15:00:00+99:99"),
)
DECIMALS = (
    *(
        "Infinity",
        "-Infinity",
        "sNaN",
        "1e999",
        "1E+400000000",
        "1E-400000000",
        "1e3",
        "-0",
        "1_000",
        "１２",
        "0x10",
        " 1",
    ),
    *("0." + "0" * 40 + "1", "9" * 40, "-1", "100.0000000001", "+1", "1,5"),
)
UUIDS = (
    *("0198c0de000070008000000000000000", "urn:uuid:0198c0de-0000-7000-8000-000000000000"),
    *(
        "{0198c0de-0000-7000-8000-000000000000}",
        "00000000-0000-0000-0000-000000000000",
        "0198C0DE-0000-7000-8000-00000000000g",
    ),
)
NUMBERS = (2**31, 2**31 - 1, 2**53, -(2**63), 10**40, "1", "１")
BY_FORMAT = {"date": DATES, "date-time": INSTANTS, "decimal": DECIMALS, "uuid": UUIDS}


def hostile_values(service: str, field: Field) -> Iterator[Any]:
    """Everything to try at a place."""
    schema = resolved(service, field.schema)
    yield from ANYWHERE
    if schema.get("type") == "string" and "enum" not in schema:
        yield from BY_FORMAT.get(schema.get("format", ""), TEXTS)
    elif schema.get("type") in ("integer", "number"):
        yield from NUMBERS
    elif schema.get("type") == "array":
        yield [None] * 5000
    elif schema.get("type") == "object":
        yield {f"k{number}": "1" for number in range(2000)}
