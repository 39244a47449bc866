"""The generated documents: current, the same every time, and whole."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from concordat.reference import check, documents, write
from concordat.reference.golden import ROOT
from concordat.reference.pages import EVERY_SERVICE, machines, short
from concordat.reference.sources import app_of, channel_of, handled_by, installed, routes_of
from shared.contracts import registry

MAP = documents()[Path("docs/map.md")]
STATES = documents()[Path("docs/state-machines.md")]
PRINT_DIGEST = """
import hashlib, json
from concordat.reference import documents
texts = {path.as_posix(): text for path, text in documents().items()}
print(hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest())
"""


def test_the_committed_documents_say_what_the_code_says() -> None:
    assert check(ROOT) == [], "run `make documents` and commit what it writes"


def test_what_was_written_is_current(tmp_path: Path) -> None:
    write(tmp_path)
    assert check(tmp_path) == []


@pytest.mark.parametrize(
    "path", ["docs/map.md", "docs/events/asyncapi.json", "docs/api/charter.openapi.json"]
)
def test_an_edited_document_is_found_and_mended(tmp_path: Path, path: str) -> None:
    write(tmp_path)
    (tmp_path / path).write_text((tmp_path / path).read_text("utf-8") + " ", "utf-8")
    assert check(tmp_path) == [path]
    write(tmp_path)
    assert check(tmp_path) == []


def test_a_missing_document_is_found(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "docs/state-machines.md").unlink()
    assert check(tmp_path) == ["docs/state-machines.md"]


def test_a_document_of_something_that_is_gone_is_found_and_removed(tmp_path: Path) -> None:
    write(tmp_path)
    left_over = tmp_path / "docs/events/schemas/org.concordat.charter.abolished.v1.json"
    left_over.write_text("{}")
    assert check(tmp_path) == [left_over.relative_to(tmp_path).as_posix()]
    write(tmp_path)
    assert not left_over.exists()


def test_golden_samples_are_never_touched(tmp_path: Path) -> None:
    sample = tmp_path / "docs/events/golden/org.concordat.charter.abolished.v1/0001.json"
    sample.parent.mkdir(parents=True)
    sample.write_text("{}")
    write(tmp_path)
    assert sample.read_text() == "{}"


def test_another_process_writes_the_same() -> None:
    texts = {path.as_posix(): text for path, text in documents().items()}
    here = hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    command = [sys.executable, "-c", PRINT_DIGEST]
    there = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_a_service_that_does_not_exist_yet_is_skipped_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    assert installed(("charter", "treasury")) == ("charter",)
    assert "services/treasury/app.py does not exist yet" in capsys.readouterr().err


@pytest.mark.parametrize("service", installed())
def test_the_map_names_every_route(service: str) -> None:
    for route in routes_of(app_of(service)):
        assert f"| `{route.method} {route.path}` | `{route.name}` |" in MAP


@pytest.mark.parametrize("service", installed())
def test_the_map_draws_an_arrow_for_everything_a_service_follows(service: str) -> None:
    drawn = [line.strip() for line in MAP.splitlines() if line.endswith(f"--> {service}")]
    for cls in handled_by(service):
        [arrow] = [line for line in drawn if line.startswith(f'{channel_of(cls)} -- "')]
        assert short(cls) in arrow


def test_the_map_explains_every_event() -> None:
    for cls in registry():
        assert f"\n| `{short(cls)}` | " in MAP


@pytest.mark.parametrize("owner", [*installed(), EVERY_SERVICE])
def test_every_transition_is_drawn(owner: str) -> None:
    drawn = list(machines(owner))
    assert drawn
    for _, _, machine in drawn:
        for (state, action), after in machine.table.items():
            assert f"    {state} --> {after}: {action}\n" in STATES
