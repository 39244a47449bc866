"""An `api` module parses, calls one function and returns its answer: what it may not contain, by syntax tree."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.guard

ROOT = Path(__file__).resolve().parents[2]
DATABASE = {
    "add",
    "add_all",
    "begin",
    "commit",
    "delete",
    "execute",
    "flush",
    "merge",
    "refresh",
    "rollback",
    "scalar",
    "scalars",
}
"""Methods of a session: queries and use cases have them, routes do not."""


def api_modules() -> list[Path]:
    """Every module of a service's HTTP edge."""
    return sorted([*ROOT.glob("services/**/api.py"), *ROOT.glob("services/**/api/*.py")])


def asks_caller(node: ast.AST) -> bool:
    """Whether an expression judges the caller's roles or organization."""
    return any(
        isinstance(inner, ast.Attribute)
        and inner.attr in {"roles", "org_id"}
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "caller"
        for inner in ast.walk(node)
    )


def faults(source: str) -> Iterator[str]:
    """What does not belong in an api module, with its line."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Try() | ast.TryStar():
                yield f"{node.lineno}: try/except: errors are mapped once, in shared/web/problems.py"
            case ast.Call(func=ast.Attribute(attr=name, value=ast.Name(id="session"))) if name in DATABASE:
                yield f"{node.lineno}: session.{name}: that belongs in queries or service"
            case ast.Compare() | ast.BoolOp() if asks_caller(node):
                yield f"{node.lineno}: {ast.unparse(node)}: who may do what stands in policy"
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "sqlalchemy":
                forbidden = {alias.name for alias in names} & {
                    "select",
                    "text",
                    "insert",
                    "update",
                    "delete",
                    "func",
                }
                if forbidden:
                    yield f"{node.lineno}: {', '.join(sorted(forbidden))}: SQL belongs in queries"


@pytest.mark.parametrize("path", api_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_an_api_module_holds_no_sql_no_commit_no_error_handling_and_no_role_test(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("async def a(session):\n    await session.commit()", "session.commit"),
        ("async def a(session):\n    return await session.scalars(1)", "session.scalars"),
        ("from sqlalchemy import select", "select"),
        ("async def a():\n    try:\n        pass\n    except ValueError:\n        pass", "try/except"),
        ("async def a(caller):\n    if 'isso' in caller.roles:\n        pass", "caller.roles"),
    ],
)
def test_the_guard_names_what_it_finds(source: str, named: str) -> None:
    assert named in " ".join(faults(source))


def test_the_guard_has_modules_to_look_at() -> None:
    assert len(api_modules()) > 10
