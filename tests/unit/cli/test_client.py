"""Commands that call the API explain what is wrong before they call, and what was answered."""

from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from concordat.__main__ import app
from concordat.cli import client as calling
from concordat.cli.client import Client, NotDone

MAPPING = "services/sla/examples/status_checks.toml"


def run(arguments: list[str], **environment: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, arguments, env={"CONCORDAT_TOKEN": "", "COLUMNS": "400", **environment})
    return done.exit_code, done.output


@pytest.fixture
def commands(tmp_path: Path) -> dict[str, list[str]]:
    table = tmp_path / "checks.csv"
    table.write_text("timestamp,service,up\n")
    return {
        "ingest": ["ingest", str(table), "--mapping", MAPPING, "--sla", "x"],
        "dead letters": ["dead-letters", "list", "sla"],
        "deadlines": ["due", "list", "sla"],
    }


@pytest.mark.parametrize("name", ["ingest", "dead letters", "deadlines"])
def test_a_missing_token_is_named(commands: dict[str, list[str]], name: str) -> None:
    for token in ("", "  "):
        code, output = run(commands[name], CONCORDAT_TOKEN=token)
        assert (code, output.strip()) == (1, "There is no token: give one with --token or CONCORDAT_TOKEN.")


@pytest.mark.parametrize("token", ["two words", "line\nend", "é", "\x00"])
def test_what_cannot_be_a_token_is_not_sent(commands: dict[str, list[str]], token: str) -> None:
    code, output = run([*commands["deadlines"], "--token", token])
    assert code == 1
    assert "copy it again, in one piece" in output


def test_an_address_without_its_scheme_is_explained(commands: dict[str, list[str]]) -> None:
    code, output = run(commands["deadlines"], CONCORDAT_TOKEN="x", CONCORDAT_URL="localhost:8000")
    assert code == 1
    assert "'localhost:8000' is no address" in output


def test_nobody_there_is_explained(commands: dict[str, list[str]]) -> None:
    code, output = run(commands["deadlines"], CONCORDAT_TOKEN="x", CONCORDAT_URL="http://127.0.0.1:9")
    assert code == 1
    assert "http://127.0.0.1:9 does not answer (ConnectError). Is it running?" in output


def test_a_refusal_is_told_with_its_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {
        "detail": "It does not fit.",
        "errors": [{"pointer": "/title", "message": "This is required."}],
    }
    answer = httpx.Response(422, json=problem, headers={"content-type": "application/problem+json"})
    assert calling._explained(answer) == "422: It does not fit.\n  /title: This is required."
    assert calling._explained(httpx.Response(502, text="Bad gateway")) == "502: Bad gateway"


def test_a_token_is_sent_without_what_surrounds_it() -> None:
    with Client("http://x", " token\n") as client:
        assert client._http.headers["authorization"] == "Bearer token"
    with pytest.raises(NotDone):
        Client("x", "token")
