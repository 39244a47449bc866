"""Uploads of observations that are broken by accident or on purpose: refused or counted, never a 5xx."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.sla.observations.domain.parsing import parse_row
from services.sla.observations.service.rows import READERS, Row, RowReader
from shared.pure.refusal import Refusal
from tests.conftest import StartService
from tests.hostile.bodies import in_chunks
from tests.hostile.sla_objects import sla
from tests.hostile.support import Stage, is_problem, ledger, staged
from tests.support.patience import PATIENCE, Patience
from tests.support.sla import probe

CSV, NDJSON, JSON = "text/csv", "application/x-ndjson", "application/json"
MIB = 1024 * 1024
LIMIT = 5 * MIB
LONGEST, COLUMNS = 65_536, 64
HEADER = "source,source_id,kind,service,occurred_at,good"
SMALL = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
async def stage(start_service: StartService) -> AsyncIterator[Stage]:
    async with staged(start_service, "sla") as made:
        yield made


@pytest.fixture(scope="module")
async def sla_id(stage: Stage) -> str:
    return await sla(stage, stage.victim)


async def upload(
    stage: Stage, sla_id: str, content: bytes | AsyncIterator[bytes], kind: str, **more: str
) -> httpx.Response:
    headers = stage.headers("provider.om_team") | {"Content-Type": kind, **more}
    path = f"/sla/v1/slas/{sla_id}/observations"
    async with asyncio.timeout(PATIENCE):
        return await stage.s.client.post(path, headers=headers, content=content)


def csv_row(**changes: str) -> str:
    cells = {"source": "page", "source_id": uuid4().hex, "kind": "probe", "service": "payroll"}
    cells |= {"occurred_at": "2026-10-01T12:00:00Z", "good": "true"} | changes
    return ",".join(cells.values())


def item(**changes: Any) -> dict[str, Any]:
    return probe(1, source_id=uuid4().hex) | changes


@dataclass(frozen=True)
class Upload:
    """A body that is refused as a whole."""

    name: str
    status: int
    code: str
    kind: str
    content: bytes
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False


def table(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    return end.join((header, *rows, "")).encode()


GOOD = table(csv_row())
BLANK = (b" " * 65_000 + b"\n") * 81
TOO_LARGE = (GOOD + BLANK)[: LIMIT + 1]
REFUSED = (
    Upload("gzip", 415, "unsupported_media_type", CSV, gzip.compress(GOOD), {"Content-Encoding": "gzip"}),
    Upload("gzip bomb", 415, "unsupported_media_type", CSV, gzip.compress(b"," * LIMIT), {"Content-Encoding": "gzip"}),
    Upload("deflate", 415, "unsupported_media_type", NDJSON, b"x", {"Content-Encoding": "deflate"}),
    Upload("gzip by name", 415, "unsupported_media_type", "application/gzip", gzip.compress(GOOD)),
    Upload("spreadsheet", 415, "unsupported_media_type", "application/vnd.ms-excel", GOOD),
    Upload("no type", 415, "unsupported_media_type", "", GOOD),
    Upload("UTF-16", 422, "not_utf8", CSV, GOOD.decode().encode("utf-16")),
    Upload("UTF-16 as announced", 422, "not_utf8", CSV + "; charset=utf-16", GOOD.decode().encode("utf-16")),
    Upload("Latin-1", 422, "not_utf8", CSV, table(csv_row(service="Gehälter")).decode().encode("latin-1")),
    Upload("UTF-16 without a mark", 422, "invalid_header", CSV, GOOD.decode().encode("utf-16-le")),
    Upload("cut inside a character", 422, "not_utf8", CSV, GOOD + "ä".encode()[:1]),
    Upload("surrogates in UTF-8", 422, "not_utf8", NDJSON, b'{"source": "\xed\xa0\x80"}'),
    Upload("two marks", 422, "invalid_header", CSV, b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD),
    Upload("nothing", 422, "invalid_header", CSV, b""),
    Upload("only a mark", 422, "invalid_header", CSV, b"\xef\xbb\xbf"),
    Upload("only line ends", 422, "invalid_header", CSV, b"\r\n" * 1000),
    Upload("CR line ends", 422, "invalid_header", CSV, table(csv_row(), end="\r")),
    Upload("NUL in the header", 422, "invalid_header", CSV, table(header=HEADER + ",a\x00b")),
    Upload("a column twice", 422, "invalid_header", CSV, table(header=HEADER + ",source")),
    Upload("an unknown column", 422, "invalid_header", CSV, table(header=HEADER + ",__class__")),
    Upload("no key column", 422, "invalid_header", CSV, table(header="kind,service")),
    Upload("an open quote in the header", 422, "invalid_header", CSV, b'"source,source_id\na,b\n'),
    Upload("65 columns", 422, "too_many_columns", CSV, table(header=",".join(f"attributes.{n}" for n in range(COLUMNS + 1)))),
    Upload("a million columns", 422, "line_too_long", CSV, table(header="," * 1_000_000)),
    Upload("a row of a million columns", 422, "line_too_long", CSV, table("," * 1_000_000)),
    Upload("65,537 characters", 422, "line_too_long", CSV, table("x" * (LONGEST + 1))),
    Upload("65,537 characters at the end", 422, "line_too_long", CSV, table().rstrip() + b"\n" + b"x" * (LONGEST + 1)),
    Upload("a quote over 65,537 characters", 422, "line_too_long", CSV, table('"' + "\n" * (LONGEST + 1))),
    Upload("a line of 65,537 in NDJSON", 422, "line_too_long", NDJSON, b'"' + b"x" * LONGEST),
    Upload("one long line without an end", 422, "line_too_long", NDJSON, b"[" * (MIB)),
    Upload("5 MiB and a byte", 413, "body_too_large", CSV, TOO_LARGE),
    Upload("5 MiB and a byte in chunks", 413, "body_too_large", CSV, TOO_LARGE, chunked=True),
    Upload("JSON of 2 million brackets", 422, "malformed_json", JSON, b"[" * 2_000_000),
    Upload("JSON with NaN", 422, "malformed_json", JSON, b'{"items": [NaN]}'),
    Upload("JSON with a name twice", 422, "malformed_json", JSON, b'{"items": [], "items": []}'),
    Upload("JSON with 5000 digits", 422, "malformed_json", JSON, b'{"items": [' + b"9" * 5000 + b"]}"),
    Upload("JSON with a huge exponent", 422, "malformed_json", JSON, b'{"items": [1e99999999999999999999]}'),
    Upload("JSON without items", 422, "not_a_list", JSON, b'{"item": []}'),
    Upload("JSON null", 422, "not_a_list", JSON, b"null"),
    Upload("JSON in UTF-16", 422, "not_utf8", JSON, '{"items": []}'.encode("utf-16")),
)  # fmt: skip


@pytest.mark.parametrize("broken", REFUSED, ids=lambda broken: broken.name)
async def test_a_broken_upload_is_refused_whole_and_stores_nothing(
    stage: Stage, sla_id: str, broken: Upload
) -> None:
    before = await ledger(stage.s)
    content = in_chunks(broken.content) if broken.chunked else broken.content
    answer = await upload(stage, sla_id, content, broken.kind, **broken.headers)
    assert (answer.status_code, answer.json()["code"]) == (broken.status, broken.code), answer.text[:500]
    assert is_problem(answer)
    assert len(answer.content) < 4096
    assert await ledger(stage.s) == before


TAKEN = (
    ("a byte order mark", CSV, b"\xef\xbb\xbf" + table(csv_row()), 1, 0),
    ("CRLF", CSV, table(csv_row(), csv_row(), end="\r\n"), 2, 0),
    ("no last line end", CSV, table(csv_row()).rstrip(), 1, 0),
    ("blank lines", CSV, table("", csv_row(), "\r", ""), 1, 0),
    ("quoted cells over lines", CSV, table(csv_row(service='"pay, \nroll"'), csv_row()), 1, 1),
    ("a doubled quote", CSV, table(csv_row(service='"pay ""roll"""')), 1, 0),
    ("a quote inside a cell", CSV, table(csv_row(service='a"b"c')), 1, 0),
    ("text after a quote", CSV, table(csv_row(service='"a"b'), csv_row()), 1, 1),
    ("NUL in a cell", CSV, table(csv_row(service="pay\x00roll"), csv_row()), 1, 1),
    ("an escape sequence", CSV, table(csv_row(service="\x1b[2J")), 0, 1),
    ("too many cells", CSV, table(csv_row() + "," * 60_000, csv_row()), 1, 1),
    ("too few cells", CSV, table("page,1", csv_row()), 1, 1),
    ("a quote that never closes", CSV, table(csv_row(), '"x', csv_row(), csv_row()), 1, 1),
    ("a formula", CSV, table(csv_row(service="=1+1")), 1, 0),
    ("65,536 characters", CSV, table("x" * LONGEST), 0, 1),
    ("other digits", CSV, table(csv_row(occurred_at="２０２６-10-01T12:00:00Z")), 0, 1),
    ("the year 9999", CSV, table(csv_row(occurred_at="9999-12-31T23:59:59-14:00")), 0, 1),
    ("the year 1", CSV, table(csv_row(occurred_at="0001-01-01T00:00:00+14:00")), 0, 1),
    ("5 MiB of blanks", NDJSON, BLANK[:LIMIT], 0, 0),
    ("deep NDJSON", NDJSON, b"[" * 60_000 + b"\n" + json.dumps(item()).encode(), 1, 1),
    ("NDJSON that is no object", NDJSON, b'1\n"x"\nnull\n[]\ntrue\nNaN\n', 0, 6),
    ("NDJSON with a name twice", NDJSON, b'{"a": 1, "a": 1}\n', 0, 1),
    ("NDJSON with a lone surrogate for a name", NDJSON, b'{"\\ud800": 1}\n', 0, 1),
    ("NDJSON with NUL for a name", NDJSON, b'{"\\u0000": 1}\n', 0, 1),
    ("NDJSON with 5000 digits", NDJSON, b'{"version": ' + b"9" * 5000 + b"}", 0, 1),
    ("NDJSON with a huge exponent", NDJSON, b'{"value": 1e999999999}', 0, 1),
    ("NDJSON with a long name", NDJSON, b'{"' + b"x" * 60_000 + b'": 1}', 0, 1),
    ("JSON with everything but objects", JSON, b'{"items": [1, "x", null, [], true, {}]}', 0, 6),
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "content", "good", "bad"), [each[1:] for each in TAKEN], ids=[each[0] for each in TAKEN]
)
async def test_odd_rows_are_counted_exactly(
    stage: Stage, sla_id: str, kind: str, content: bytes, good: int, bad: int
) -> None:
    before = (await ledger(stage.s))["observation"]
    answer = await upload(stage, sla_id, content, kind)
    assert answer.status_code == 200, answer.text[:500]
    report = answer.json()
    assert (report["received"], report["accepted"], report["rejected"]) == (good + bad, good, bad), report[
        "errors"
    ]
    assert len(report["errors"]) == bad
    assert (await ledger(stage.s))["observation"] == before + good


BAD_CELLS: dict[str, tuple[str, ...]] = {
    "kind": ("", "x", "Probe", "9"),
    "occurred_at": ("", "yesterday", "2026-10-01T12:00:00", "2026-02-30T00:00:00Z"),
    "good": ("", "maybe", "1", "yes"),
    "source_id": ("", " ", "x" * 201, "\x7f"),
}
cells = st.sampled_from(sorted(BAD_CELLS)).flatmap(
    lambda name: st.sampled_from(BAD_CELLS[name]).map(lambda value: {name: value})
)
BAD_KIND_MEANS_EVENT = {"kind": ""}


@SMALL
@given(
    st.lists(st.one_of(st.none(), cells.filter(lambda bad: bad != BAD_KIND_MEANS_EVENT)), max_size=30),
    st.integers(1, 400),
)
async def test_good_and_bad_rows_in_any_order_are_counted_exactly(
    stage: Stage, sla_id: str, rows: list[dict[str, str] | None], size: int
) -> None:
    content = table(*(csv_row(**(bad or {})) for bad in rows))
    answer = await upload(stage, sla_id, in_chunks(content, size), CSV)
    good = rows.count(None)
    report = answer.json()
    assert (report["received"], report["accepted"], report["rejected"]) == (len(rows), good, len(rows) - good)
    assert [error["line"] for error in report["errors"]] == [
        n for n, bad in enumerate(rows, 2) if bad is not None
    ]


@st.composite
def mangled(draw: st.DrawFn, whole: Callable[[], bytes]) -> bytes:
    """A good body with some bytes cut out, doubled, or replaced by others."""
    body = whole()
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 40)))
        other = draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from([b'"', b"\n", b"\r", b",", b"\x00", b"\\", b"\xff", b"{"]),
            )
        )
        body = body[:start] + other + body[end:]
    return body


BODIES: dict[str, Callable[[], bytes]] = {
    CSV: lambda: table(csv_row(), csv_row(service='"a, ""b"""'), csv_row()),
    NDJSON: lambda: b"".join(json.dumps(item()).encode() + b"\n" for _ in range(3)),
    JSON: lambda: json.dumps({"items": [item(), item(attributes={"a": "b"})]}).encode(),
}


@pytest.mark.parametrize("kind", BODIES)
@SMALL
@given(data=st.data())
async def test_a_mangled_upload_is_refused_or_its_counts_add_up(
    stage: Stage, sla_id: str, kind: str, data: st.DataObject
) -> None:
    before = await ledger(stage.s)
    answer = await upload(stage, sla_id, data.draw(mangled(BODIES[kind])), kind)
    grown = (await ledger(stage.s))["observation"] - before["observation"]
    if answer.status_code != 200:
        assert (answer.status_code, is_problem(answer), grown) == (422, True, 0)
        return
    report = answer.json()
    assert (
        report["received"] == report["accepted"] + report["duplicates"] + report["stale"] + report["rejected"]
    )
    assert grown == report["accepted"] + report["stale"]


def read(reader: RowReader, chunks: Iterator[bytes]) -> list[Row] | str:
    """Every row, or that the whole is refused: of two reasons the first one read counts."""
    rows: list[Row] = []
    try:
        for chunk in chunks:
            rows += reader.feed(chunk)
        rows += reader.finish()
    except Refusal:
        return "refused"
    return rows


def cut(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


@pytest.mark.parametrize("kind", BODIES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_how_a_body_is_cut_into_chunks_does_not_change_what_is_read(kind: str, data: st.DataObject) -> None:
    body = data.draw(st.one_of(st.binary(max_size=300), mangled(BODIES[kind])))
    whole = read(READERS[kind](), iter([body]))
    pieces = read(READERS[kind](), cut(body, data.draw(st.integers(1, 50))))
    assert repr(pieces) == repr(whole)
    for line, row in whole if isinstance(whole, list) else ():
        assert parse_row(row, line) is not None if isinstance(row, dict) else True


def test_thousands_of_lines_inside_a_quote_cost_no_more_than_lines_outside() -> None:
    """Joining a record line by line took quadratic time: seconds for every 64 KiB, minutes for a whole upload."""
    body = table(*(['"' + "\n" * 60_000 + '"'] * 80))
    patience, reader, rows = Patience(), READERS[CSV](), 0
    for chunk in cut(body, LONGEST):
        rows += sum(1 for _ in reader.feed(chunk))
        assert patience.is_left
    assert rows + sum(1 for _ in reader.finish()) == 80
