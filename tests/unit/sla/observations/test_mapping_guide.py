"""docs/mapping.md says all that a mapping may say, its examples are mappings, and what the README loads exists."""

import csv
import re
from dataclasses import fields
from pathlib import Path

import pytest

from services.sla.observations.domain.observation import Observation, ObservationKind
from services.sla.observations.domain.parsing import RowError
from services.sla.observations.service import mapping
from services.sla.observations.service.mapping import StateLog, load_mapping, map_row

ROOT = Path(__file__).resolve().parents[4]
GUIDE = (ROOT / "docs" / "mapping.md").read_text()
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", GUIDE, flags=re.DOTALL)
LOADED = re.compile(r"ingest (\S+\.csv)[\s\\]+--mapping (\S+\.toml)")


def test_every_key_of_a_mapping_and_every_field_is_in_the_guide():
    named = set(re.findall(r"`\[?(\w+)(?:\.FIELD)?\]?`", GUIDE))
    keys = mapping._SECTIONS | {each.name for each in (*fields(Observation), *fields(StateLog))}
    assert keys - named == set()
    assert {kind.value for kind in ObservationKind} - named == set()


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_guide_are_mappings(text):
    assert load_mapping(text).source_id


@pytest.mark.parametrize("page", ["README.md", "docs/mapping.md"])
def test_what_a_newcomer_is_told_to_load_is_there_and_every_row_of_it_is_taken(page):
    [(table, how)] = LOADED.findall((ROOT / page).read_text())
    read = load_mapping((ROOT / how).read_text())
    with (ROOT / table).open(encoding="utf-8", newline="") as lines:
        rows = [map_row(read, row, line) for line, row in enumerate(csv.DictReader(lines), 2)]
    assert len(rows) == 45
    assert [row for row in rows if row is None or isinstance(row, RowError)] == []
