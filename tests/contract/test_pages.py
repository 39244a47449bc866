"""Pages for people: links lead somewhere, and decisions have one form and are all listed."""

import re
from pathlib import Path

import pytest

from tests.support.compose import ROOT

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_link_to_a_file_leads_to_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("record", DECISIONS, ids=lambda path: path.name)
def test_a_decision_has_the_form_of_all(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    assert re.match(rf"# {int(record.name[:4])}\. .+\n\nStatus: (accepted|superseded)", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_every_decision_is_listed_under_its_number() -> None:
    listed = re.findall(
        r"^\| \[(\d{4})\]\((.+?)\) \|", (DECISIONS[0].parent / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert listed == [(record.name[:4], record.name) for record in DECISIONS]


def test_no_number_is_left_out() -> None:
    assert [int(record.name[:4]) for record in DECISIONS] == list(range(1, len(DECISIONS) + 1))
