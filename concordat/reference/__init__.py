"""The documents that are generated from code, committed, and checked for drift."""

import json
from pathlib import Path

from concordat.reference.asyncapi import asyncapi_document
from concordat.reference.events import event_schema
from concordat.reference.golden import missing_samples, sample_path, write_missing
from concordat.reference.openapi_30 import to_openapi_30
from concordat.reference.pages import map_page, state_machines_page
from concordat.reference.policy_page import policy_page
from concordat.reference.sources import app_of, installed
from shared.contracts import registry
from shared.contracts.base import schema_name

ROOT = Path(__file__).resolve().parents[2]
API = Path("docs/api")
SCHEMAS = Path("docs/events/schemas")
FOLDERS = (API, SCHEMAS)
"""Folders that hold generated files only, so that what is no longer generated can be found."""


def documents() -> dict[Path, str]:
    """Every generated file: its path below the project's root and its text."""
    return {
        Path("docs/map.md"): map_page(),
        Path("docs/policy.md"): policy_page(),
        Path("docs/state-machines.md"): state_machines_page(),
        Path("docs/events/asyncapi.json"): _json(asyncapi_document()),
        **{SCHEMAS / schema_name(cls.TYPE): _json(event_schema(cls)) for cls in registry()},
        **_api_documents(),
    }


def _api_documents() -> dict[Path, str]:
    documents = {}
    for service in installed():
        document = app_of(service).openapi()
        documents[API / f"{service}.openapi.json"] = _json(document, in_order=True)
        documents[API / f"{service}.openapi-3.0.json"] = _json(to_openapi_30(document), in_order=True)
    return documents


def _json(document: object, *, in_order: bool = False) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=in_order) + "\n"


def write(root: Path) -> None:
    """Bring the files below `root` up to date, remove what is no longer generated, draft missing golden samples."""
    expected = documents()
    for path, text in expected.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8", newline="\n")
    for path in _left_over(root, expected):
        (root / path).unlink()
    write_missing(root)


def check(root: Path) -> list[str]:
    """The paths below `root` that differ from what the code says; `make documents` mends them."""
    expected = documents()
    differing = [path for path, text in expected.items() if _text(root / path) != text]
    missing = [sample_path(cls) for cls in missing_samples(root)]
    return sorted(path.as_posix() for path in (*differing, *missing, *_left_over(root, expected)))


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _left_over(root: Path, expected: dict[Path, str]) -> list[Path]:
    present = (path.relative_to(root) for folder in FOLDERS for path in (root / folder).glob("*"))
    return [path for path in present if path not in expected]
