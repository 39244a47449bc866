"""What an operator is told to type works: SQL on today's tables, words of the log that are really written."""

import re
from functools import cache
from pathlib import Path

import asyncpg
import pytest
from typer.main import get_command

from concordat.__main__ import app
from services.registry import SERVICES
from tests.support.compose import ROOT
from tests.support.harness import template_database
from tests.support.postgres import PostgresServer

PAGES = (
    ROOT / "deploy" / "observability" / "alerts.yaml",
    ROOT / "docs" / "operations.md",
    ROOT / "docs" / "observability.md",
)
STATEMENT = re.compile(r"`((?:SELECT|UPDATE|DELETE|INSERT|WITH) [^`]+)`")
COMMAND = re.compile(r"(?<![\w/.@-])concordat ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?(?![\w:])")
NAME = re.compile(r"(?<![\w/.-])([a-z]+(?:_[a-z]+)+)(?![\w(])")
OTHERS = {
    "application_name": "a column of PostgreSQL's pg_stat_activity",
    "pg_stat_activity": "a view of PostgreSQL",
    "wait_event_type": "a column of PostgreSQL's pg_stat_activity",
    "max_connections": "a setting of PostgreSQL",
    "concordat_default": "the network that docker compose makes",
}
"""Names of other programs that the pages use."""


def text_of(page: Path) -> str:
    return re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))


def statements() -> list[str]:
    return [statement for page in PAGES for statement in STATEMENT.findall(text_of(page))]


@cache
def program() -> str:
    """All that the program is written in, and its documents of the API."""
    sources = [path for part in ("shared", "services", "concordat") for path in ROOT.glob(f"{part}/**/*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in sources)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("statement", statements())
async def test_a_statement_for_operators_runs_on_the_tables_there_are(
    postgres: PostgresServer, statement: str, service: str
) -> None:
    template = await template_database(postgres)
    async with postgres.database("runbook", template) as url:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(re.sub(r"{{ *\$labels\.service *}}", service, statement))
        finally:
            await connection.close()


def test_there_are_statements_to_try() -> None:
    assert statements() != []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_name_an_operator_looks_for_exists(page: Path) -> None:
    names = set(NAME.findall(text_of(page))) - OTHERS.keys()
    gone = {
        name
        for name in names
        if not re.search(rf"(?<![a-z]){name.removesuffix('_total')}(?![a-z])", program())
    }
    assert gone == set()


def written() -> set[tuple[str, str]]:
    """The commands that the pages name, with the word behind them."""
    code = r"`(concordat [^`]+)`|^ *(?:\.venv/bin/)?(concordat [a-z].*)$"
    lines = [
        "".join(either)
        for page in (*PAGES, ROOT / "README.md")
        for either in re.findall(code, page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    return {match.groups("") for line in lines for match in COMMAND.finditer(line)}  # type: ignore[misc]


@pytest.mark.parametrize(("command", "word"), sorted(written()))
def test_a_command_for_operators_exists(command: str, word: str) -> None:
    inner = get_command(app).commands[command]
    assert not word or word in getattr(inner, "commands", {word: None})
