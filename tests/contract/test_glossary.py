"""The glossary has the words of the API, and none that nothing uses."""

import json
import re
from functools import cache

import pytest

from services.registry import SERVICES
from shared.contracts.governance import Role
from tests.support.compose import ROOT

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^\| \*\*(.+?)\*\* \|", GLOSSARY, re.MULTILINE)
WITHIN = set(re.findall(r"\*\*(.+?)\*\*", GLOSSARY))
EXPLAINED_BY_OTHERS = {"me": "the member who asks"}


def collections(service: str) -> set[str]:
    """The resources of a service's API, in the singular."""
    document = json.loads((ROOT / "docs" / "api" / f"{service}.openapi.json").read_text(encoding="utf-8"))
    plural = {match[1] for path in document["paths"] if (match := re.match(r"/\w+/v1/([a-z_]+)", path))}
    return {singular(name).replace("_", " ") for name in plural} - EXPLAINED_BY_OTHERS.keys()


def singular(name: str) -> str:
    if name.endswith("ies") and name != "series":
        return name.removesuffix("ies") + "y"
    return name if name == "series" else name.removesuffix("s")


@cache
def program() -> str:
    sources = [path for part in ("shared", "services", "concordat") for path in ROOT.glob(f"{part}/**/*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in sources).lower().replace("_", " ")


@pytest.mark.parametrize("service", SERVICES)
def test_every_resource_of_the_api_is_explained(service: str) -> None:
    assert collections(service) - WITHIN == set()


def test_every_role_is_explained() -> None:
    assert {role.replace("_", " ") for role in Role} - WITHIN == set()


def test_no_word_is_explained_twice() -> None:
    assert sorted(ENTRIES) == sorted(set(ENTRIES))


@pytest.mark.parametrize("word", sorted(WITHIN))
def test_an_explained_word_is_used(word: str) -> None:
    assert re.search(rf"(?<![a-z]){re.escape(word.lower().removesuffix('s'))}", program())
