"""`concordat ingest` ends in a sentence and a code, whatever it is given."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from concordat.__main__ import app

MAPPING = 'source_id = "{id}"\n[constants]\nsource = "s"\nservice = "s"\n[columns]\noccurred_at = "at"\n'
TABLE = b"id,at\n1,2026-10-01T09:00Z\n"
NOBODY = "http://127.0.0.1:9"


def ingested(folder: Path, table: bytes, mapping: bytes, url: str = NOBODY) -> tuple[int, str]:
    (folder / "table.csv").write_bytes(table)
    (folder / "mapping.toml").write_bytes(mapping)
    paths = [str(folder / "table.csv"), "--mapping", str(folder / "mapping.toml")]
    result = CliRunner().invoke(app, ["ingest", *paths, "--sla", "x", "--url", url, "--token", "t"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("table", "mapping", "sentence"),
    [
        ("id,at\nä,x\n".encode("cp1252"), MAPPING.encode(), "is not UTF-8"),
        ("id,at\n1,x\n".encode("utf-16"), MAPPING.encode(), "is not UTF-8"),
        (TABLE, MAPPING.encode("utf-16"), "is not UTF-8"),
        (b"", MAPPING.encode(), "no header row"),
        (b"id,at,id\n1,x,2\n", MAPPING.encode(), "names a column twice: id"),
        (TABLE, b"zone = ", "not TOML"),
        (TABLE, b"zone = 5", "mapping.toml"),
        (TABLE, MAPPING.replace("{id}", "{id").encode(), "This is no mapping"),
        (TABLE, b"[/red] = 1", "mapping.toml"),
        (TABLE, MAPPING.encode(), "does not answer"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(
    tmp_path: Path, table: bytes, mapping: bytes, sentence: str
) -> None:
    code, output = ingested(tmp_path, table, mapping)
    assert code == 1
    assert sentence in output


@pytest.mark.parametrize("url", ["nowhere", "http://[", "http://a b"])
def test_an_address_that_is_none_is_said_in_a_sentence(tmp_path: Path, url: str) -> None:
    assert ingested(tmp_path, TABLE, MAPPING.encode(), url)[0] == 1


def test_a_row_with_other_cells_than_columns_is_rejected_and_not_shifted(tmp_path: Path) -> None:
    code, output = ingested(tmp_path, b"id,at\n1,2,3\n4\n", MAPPING.encode())
    assert (code, "2 rejected" in output) == (0, True)
    assert "more or fewer cells" in output


@pytest.mark.parametrize("what", ["missing", "a folder"])
def test_a_file_that_is_none_is_named(tmp_path: Path, what: str) -> None:
    path = tmp_path if what == "a folder" else tmp_path / "none.csv"
    result = CliRunner().invoke(app, ["ingest", str(path), "--mapping", str(path), "--sla", "x"])
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
