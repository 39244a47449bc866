"""One text and one hash per content."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, getcontext, localcontext
from enum import Enum, StrEnum
from fractions import Fraction
from hashlib import sha256
from uuid import UUID

import pytest

from shared.calendars.business_days import FEDERAL_ET
from shared.pure.canonical import canonical_json, content_hash


class Colour(StrEnum):
    red = "red"


class Number(Enum):
    one = 1


@dataclass(frozen=True)
class Point:
    y: Decimal
    x: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (-(2**53) + 1, "-9007199254740991"),
        ("", '""'),
        ("é€😀/", '"é€😀/"'),
        ('"\\\b\t\n\f\r\x0f\x7f', '"\\"\\\\\\b\\t\\n\\f\\r\\u000f\x7f"'),
        ([1, "a", None], '[1,"a",null]'),
        ((1, 2), "[1,2]"),
        ({"b": 1, "a": {"d": [], "c": {}}}, '{"a":{"c":{},"d":[]},"b":1}'),
        (Colour.red, '"red"'),
        (Number.one, "1"),
        ({Colour.red: 1}, '{"red":1}'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (date(2026, 11, 10), '"2026-11-10"'),
        (time(8, 30), '"08:30:00"'),
        (datetime(2026, 11, 10, 14, tzinfo=UTC), '"2026-11-10T14:00:00Z"'),
        (datetime(2026, 11, 10, 9, tzinfo=timezone(timedelta(hours=-5))), '"2026-11-10T14:00:00Z"'),
        (datetime(2026, 11, 10, 14, 0, 0, 5, tzinfo=UTC), '"2026-11-10T14:00:00.000005Z"'),
        (Point(y=Decimal("1.50"), x=(1,)), '{"x":[1],"y":"1.5"}'),
    ],
)
def test_each_kind_of_value_has_one_text(value, text):
    assert canonical_json(value) == text


def test_keys_are_sorted_by_utf_16_code_units():
    """The sorting example of RFC 8785, section 3.2.3."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    text = canonical_json(dict.fromkeys(keys, 0))
    expected = ["\\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert text == "{" + ",".join(f'"{key}":0' for key in expected) + "}"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1.50", "1.5"),
        ("1.5", "1.5"),
        ("100", "100"),
        ("1E+2", "100"),
        ("100.00", "100"),
        ("0.00", "0"),
        ("-0.0", "0"),
        ("0E+7", "0"),
        ("-1.50E-7", "-0.00000015"),
        ("99.790502793296089385474860335195530726257", "99.790502793296089385474860335195530726257"),
    ],
)
def test_a_decimal_is_written_by_its_value(number, text):
    assert canonical_json(Decimal(number)) == f'"{text}"'


def test_the_precision_in_force_does_not_change_a_decimal():
    with localcontext():
        getcontext().prec = 3
        assert canonical_json(Decimal("250000.55")) == '"250000.55"'


@pytest.mark.parametrize(
    "value", [1.5, [0.0], {"a": float("nan")}, {1, 2}, b"a", object(), Fraction(1, 2), Point]
)
def test_a_value_without_a_canonical_form_is_a_type_error(value):
    with pytest.raises(TypeError):
        canonical_json(value)


def test_object_keys_are_strings():
    with pytest.raises(TypeError, match="keys"):
        canonical_json({1: "a"})


@pytest.mark.parametrize(
    "value",
    [
        Decimal("NaN"),
        Decimal("-Infinity"),
        Decimal("1E+999999"),
        datetime(2026, 1, 1),
        "\ud800",
        {"\ud800": 1},
        2**53,
    ],
)
def test_a_value_that_readers_would_not_agree_on_is_refused(value):
    with pytest.raises(ValueError):
        canonical_json(value)


def test_the_hash_is_sha_256_of_the_utf_8_text():
    assert content_hash({"é": 1}) == sha256('{"é":1}'.encode()).hexdigest()


def test_equal_content_hashes_alike_and_other_content_does_not():
    first = {"limit": Decimal("1.50"), "days": 5}
    same = {"days": 5, "limit": Decimal("1.5")}
    assert content_hash(first) == content_hash(same)
    assert content_hash(first) != content_hash({**same, "days": 6})


def test_a_calendar_can_be_hashed_whole():
    text = canonical_json(FEDERAL_ET)
    assert text.startswith('{"closures":[],"federal_holidays":true,"hours":[{"closes":"17:00:00"')
