"""Only a feature's own `service` writes its rows: no other module makes one or changes its table."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.guard

ROOT = Path(__file__).resolve().parents[2]
WRITES = {"insert", "update", "delete"}


def modules() -> list[Path]:
    """Every module of a feature, but migrations."""
    return sorted(path for path in ROOT.glob("services/*/*/**/*.py") if "migrations" not in path.parts)


def feature_of(path: Path) -> str:
    service, feature = path.relative_to(ROOT / "services").parts[:2]
    return f"services.{service}.{feature}"


def foreign_rows(tree: ast.AST, feature: str) -> dict[str, str]:
    """The tables' classes that a module imports from other features' models: local name to module."""
    return {
        alias.asname or alias.name: str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and ".models" in str(node.module)
        if not str(node.module).startswith(f"{feature}.")
        for alias in node.names
        if alias.name[0].isupper()
    }


def writes(source: str, feature: str) -> Iterator[str]:
    """Where a module makes a row of another feature, or changes its table."""
    tree = ast.parse(source)
    foreign = foreign_rows(tree, feature)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in foreign:
                yield f"{node.lineno}: makes a {name}, which {foreign[name]} owns: ask its service"
            case ast.Call(func=ast.Name(id=verb), args=[ast.Name(id=name), *_]) if (
                verb in WRITES and name in foreign
            ):
                yield f"{node.lineno}: {verb} of {name}, which {foreign[name]} owns: ask its service"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_writes_no_rows_of_another_feature(path: Path) -> None:
    assert list(writes(path.read_text(encoding="utf-8"), feature_of(path))) == []


@pytest.mark.parametrize(
    "line", ["Charter(title='x')", "insert(Charter)", "delete(Charter)", "update(Charter)"]
)
def test_the_guard_names_what_it_finds(line: str) -> None:
    source = f"from services.charter.charters.models import Charter\n{line}"
    assert "Charter" in " ".join(writes(source, "services.charter.reviews"))
    assert list(writes(source, "services.charter.charters")) == []
