"""Cut an uploaded body into rows while it arrives: CSV (RFC 4180), NDJSON or one JSON document.

A reader is fed chunks of bytes and yields numbered rows; what is wrong with one row is a `RowError`,
what is wrong with the whole body a `Refusal`.
"""

import codecs
import csv
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Protocol

from services.sla.observations.domain.parsing import RowError, check_header
from shared.pure.refusal import Refusal, Refused
from shared.pure.strict_json import strict_decoder

LONGEST_LINE = 65_536
MOST_COLUMNS = 64
MOST_DIGITS = 100

Row = tuple[int, Mapping[str, object] | RowError]


class RowReader(Protocol):
    """What turns bytes into rows; call `finish` once after the last chunk."""

    def feed(self, chunk: bytes) -> Iterator[Row]: ...

    def finish(self) -> Iterator[Row]: ...


class Lines:
    """Bytes to lines of text with their numbers; UTF-8 with or without a byte order mark."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("strict")
        self._rest = ""
        self._number = 0

    def feed(self, chunk: bytes, *, final: bool = False) -> Iterator[tuple[int, str]]:
        try:
            self._rest += self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            raise Refused("not_utf8", "Send the body as UTF-8.") from None
        *whole, self._rest = self._rest.split("\n")
        if final and self._rest:
            whole, self._rest = [*whole, self._rest], ""
        if len(self._rest) > LONGEST_LINE:
            raise _too_long(self._number + len(whole) + 1)
        for line in whole:
            self._number += 1
            if len(line) > LONGEST_LINE:
                raise _too_long(self._number)
            yield self._number, line


class CsvRows:
    """CSV with a header of canonical field names; a quoted cell may span lines."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._header: list[str] | None = None
        self._open: list[str] = []
        self._open_since = 0
        self._length = 0
        self._is_quoted = False

    def feed(self, chunk: bytes) -> Iterator[Row]:
        for number, line in self._lines.feed(chunk):
            yield from self._line(number, line)

    def finish(self) -> Iterator[Row]:
        for number, line in self._lines.feed(b"", final=True):
            yield from self._line(number, line)
        if self._open:
            yield (
                self._open_since,
                RowError(self._open_since, "", "malformed_csv", "A quote is never closed."),
            )
        if self._header is None:
            check_header([])

    def _line(self, number: int, line: str) -> Iterator[Row]:
        if not self._open:
            self._open_since, self._length = number, -1
        self._open.append(line)
        self._length += 1 + len(line)
        if self._length > LONGEST_LINE:
            raise _too_long(self._open_since)
        self._is_quoted ^= line.count('"') % 2 == 1
        if self._is_quoted:
            return
        record = "\n".join(self._open)
        self._open.clear()
        if record.strip("\r"):
            yield from self._record(self._open_since, record)

    def _record(self, number: int, record: str) -> Iterator[Row]:
        try:
            cells = next(csv.reader([record.rstrip("\r")], strict=True))
        except csv.Error:
            yield number, RowError(number, "", "malformed_csv", "The quotes of this row do not fit.")
            return
        if self._header is None:
            self._header = _header(cells)
        elif len(cells) != len(self._header):
            message = f"The row has {len(cells)} cells, the header {len(self._header)}."
            yield number, RowError(number, "", "cell_count", message)
        else:
            yield number, dict(zip(self._header, cells, strict=True))


class NdjsonRows:
    """One JSON object a line."""

    def __init__(self) -> None:
        self._lines = Lines()

    def feed(self, chunk: bytes) -> Iterator[Row]:
        yield from self._rows(self._lines.feed(chunk))

    def finish(self) -> Iterator[Row]:
        yield from self._rows(self._lines.feed(b"", final=True))

    def _rows(self, lines: Iterator[tuple[int, str]]) -> Iterator[Row]:
        for number, line in lines:
            if line.strip():
                yield number, _object(number, line)


class JsonRows:
    """One JSON document: an array, or an object with `items`. It is read when it is complete."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Row]:
        self._body += chunk
        return iter(())

    def finish(self) -> Iterator[Row]:
        try:
            document = read_json(self._body.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise Refused("not_utf8", "Send the body as UTF-8.") from None
        except ValueError as error:
            raise Refused("malformed_json", f"The body is not valid JSON: {error}.") from None
        items = document.get("items") if isinstance(document, dict) else document
        if not isinstance(items, list):
            raise Refused("not_a_list", 'Send an array of observations, or {"items": [...]}.')
        return (
            (number, item if isinstance(item, dict) else _no_object(number))
            for number, item in enumerate(items, 1)
        )


READERS: dict[str, type[CsvRows] | type[NdjsonRows] | type[JsonRows]] = {
    "text/csv": CsvRows,
    "application/x-ndjson": NdjsonRows,
    "application/json": JsonRows,
}


def read_json(text: str) -> object:
    """JSON without NaN and repeated names, fractions as exact decimals; `ValueError` otherwise."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(error.msg) from None
    except RecursionError:
        raise ValueError("it nests too deep") from None
    except ArithmeticError:
        raise ValueError("a number is too large") from None


def _object(number: int, line: str) -> Mapping[str, object] | RowError:
    try:
        item = read_json(line)
    except ValueError as error:
        return RowError(number, "", "malformed_json", f"The line is not valid JSON: {error}.")
    return item if isinstance(item, dict) else _no_object(number)


def _no_object(number: int) -> RowError:
    return RowError(number, "", "not_an_object", "An observation is a JSON object.")


def _header(cells: list[str]) -> list[str]:
    if len(cells) > MOST_COLUMNS:
        raise Refused("too_many_columns", f"A table may have at most {MOST_COLUMNS} columns.")
    names = [cell.strip() for cell in cells]
    check_header(names)
    return names


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError("a number has too many digits")
    return int(digits)


def _too_long(number: int) -> Refusal:
    return Refused("line_too_long", f"Line {number} has more than {LONGEST_LINE} characters.")


_DECODER = strict_decoder(parse_int=_integer, parse_float=Decimal)
