"""A file that another program wrote in its own way is refused in a sentence, and nothing of it is sent."""

import json
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from concordat.__main__ import app
from shared.audit.chain import EXPORT_FORMAT

CSV = "checked_at,service,status,response_ms\n2026-10-05T12:00:00Z,Café Zahlung,up,12\n"
MAPPING = """
source_id = "{service}@{checked_at}"
[constants]
source = "status-page"
kind = "probe"
[columns]
occurred_at = "checked_at"
service = "service"
good = "status"
[values.good]
up = true
"""


def ingest(folder: Path, table: bytes, mapping: bytes = MAPPING.encode(), token: str = "t") -> Result:
    (folder / "checks.csv").write_bytes(table)
    (folder / "checks.toml").write_bytes(mapping)
    # Port 9 answers nobody: whatever is refused below is refused before anything is sent.
    words = ["ingest", str(folder / "checks.csv"), "--mapping", str(folder / "checks.toml"), "--sla", "x"]
    return CliRunner().invoke(app, [*words, "--url", "http://127.0.0.1:9"], env={"CONCORDAT_TOKEN": token})


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-be", "mac_roman"])
def test_a_table_that_is_not_utf_8_is_refused(tmp_path, encoding):
    ended = ingest(tmp_path, CSV.encode(encoding))
    assert ended.exit_code == 1
    assert "checks.csv is not UTF-8 text. Save it as UTF-8" in ended.output.replace("\n", " ")
    assert ended.exception is None or isinstance(ended.exception, SystemExit)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_is_read_with_and_without_a_byte_order_mark(tmp_path, encoding):
    ended = ingest(tmp_path, CSV.encode(encoding))
    assert "does not answer" in ended.output


MAPPINGS = {
    "not UTF-8": (MAPPING.replace("status-page", "Café").encode("cp1252"), "checks.toml is not UTF-8 text"),
    "not TOML": (b"[columns", "checks.toml: "),
    "an unknown key": (MAPPING.encode() + b"[colums]\n", "docs/mapping.md"),
    "an unknown zone": (b'zone = "Mars/Olympus"\n' + MAPPING.encode(), "checks.toml: "),
}


@pytest.mark.parametrize("case", MAPPINGS)
def test_a_mapping_that_cannot_be_read_is_refused(tmp_path, case):
    mapping, sentence = MAPPINGS[case]
    ended = ingest(tmp_path, CSV.encode(), mapping)
    assert (ended.exit_code, sentence in ended.output) == (1, True), ended.output
    assert isinstance(ended.exception, SystemExit)


def test_a_table_no_csv_reader_takes_is_refused(tmp_path):
    ended = ingest(tmp_path, b"a,b\n" + b"x" * 200_000 + b",1\n")
    assert (ended.exit_code, "no CSV file that can be read" in ended.output) == (1, True), ended.output


def test_without_a_token_it_says_so(tmp_path):
    ended = ingest(tmp_path, CSV.encode(), token="")
    assert (ended.exit_code, "CONCORDAT_TOKEN" in ended.output) == (1, True), ended.output


def test_a_key_that_is_no_text_is_refused(tmp_path):
    header = {"kind": "header", "format": EXPORT_FORMAT, "service": "sla", "chain": str(UUID(int=1))}
    (tmp_path / "export.ndjson").write_text(json.dumps(header | {"visibility": "shared"}) + "\n")
    (tmp_path / "key.pem").write_bytes("Schlüssel".encode("utf-16"))
    words = ["verify", str(tmp_path / "export.ndjson"), "--key", str(tmp_path / "key.pem")]
    ended = CliRunner().invoke(app, words)
    assert (ended.exit_code, "key.pem is no key" in ended.output) == (2, True), ended.output
