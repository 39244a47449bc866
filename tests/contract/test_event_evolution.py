"""Nothing published is ever taken back: schemas only grow, samples are only added."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from concordat.reference import SCHEMAS
from concordat.reference.events import event_schema
from concordat.reference.golden import GOLDEN, ROOT
from shared.contracts import registry
from shared.contracts.base import EXTENSIBLE, schema_name
from tests.contract import history
from tests.contract.evolution import breaking_changes

pytestmark = pytest.mark.guard

EVENTS = list(registry())
Changed = Callable[[dict[str, Any]], object]


@pytest.fixture(params=["HEAD", "latest release"])
def base(request: pytest.FixtureRequest) -> str:
    known = history.bases(ROOT)
    if not known:
        pytest.skip("git is absent, or this is no checkout")
    if request.param == "HEAD":
        return "HEAD"
    if len(known) == 1:
        pytest.skip("nothing has been released yet")
    return known[1]


def test_no_event_schema_breaks_what_was_published(base: str) -> None:
    breaks = {}
    for cls in EVENTS:
        before = history.committed(ROOT, base, SCHEMAS / schema_name(cls.TYPE))
        if before is not None:
            breaks[cls.TYPE] = breaking_changes(json.loads(before), event_schema(cls))
    if not breaks:
        pytest.skip(f"no event schema was committed at {base}")
    assert {type_: broken for type_, broken in breaks.items() if broken} == {}, (
        "publish a new major beside the old"
    )


def test_no_published_event_disappears(base: str) -> None:
    published = {path.stem for path in history.committed_files(ROOT, base, SCHEMAS)}
    assert published - {cls.TYPE for cls in EVENTS} == set()


def test_golden_samples_are_only_ever_added(base: str) -> None:
    assert history.altered(ROOT, base, GOLDEN.relative_to(ROOT)) == []


@pytest.mark.skipif(history.git(ROOT, "version") is None, reason="git is absent")
def test_the_guard_sees_samples_that_were_edited_or_deleted_but_not_new_ones(tmp_path: Path) -> None:
    samples = tmp_path / "golden"
    samples.mkdir()
    for name in ("edited", "deleted", "kept"):
        (samples / f"{name}.json").write_text("{}")
    _commit_everything(tmp_path)
    (samples / "edited.json").write_text('{"retouched": true}')
    (samples / "deleted.json").unlink()
    (samples / "new.json").write_text("{}")
    assert history.bases(tmp_path) == ["HEAD"]
    assert history.altered(tmp_path, "HEAD", Path("golden")) == ["golden/deleted.json", "golden/edited.json"]
    assert history.committed(tmp_path, "HEAD", Path("golden/edited.json")) == "{}"
    assert history.committed(tmp_path, "HEAD", Path("golden/new.json")) is None


def _commit_everything(folder: Path) -> None:
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false")
    for arguments in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "samples")):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)


def test_outside_a_checkout_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    assert history.bases(tmp_path) == []


BEFORE: dict[str, Any] = {
    "type": "object",
    "title": "Before",
    "properties": {
        "number": {"type": "string"},
        "tier": {"type": "integer", "minimum": 1},
        "severity": {"type": "string", "enum": ["high", "low"]},
        "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "note": {"type": "string"},
        "cause": {"type": "string", "description": EXTENSIBLE, "examples": ["clock", "member"]},
        "bodies": {"type": "array", "items": {"type": "object", "properties": {"key": {"type": "string"}}}},
    },
    "required": ["number", "tier", "severity", "due"],
    "additionalProperties": False,
}


def changed(change: Changed) -> dict[str, Any]:
    after = copy.deepcopy(BEFORE)
    change(after)
    return after


@pytest.mark.parametrize(
    "change",
    [
        lambda s: None,
        lambda s: s["properties"].update(added={"type": "string"}),
        lambda s: s["properties"].update(added={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        lambda s: s["properties"]["number"].update(description="what people call it", examples=["CR-1"]),
        lambda s: s["properties"]["bodies"]["items"]["properties"].update(name={"type": "string"}),
        lambda s: s.update(title="After", description="said better"),
        lambda s: s["properties"]["severity"].update(enum=["low", "high"]),
        lambda s: s["properties"]["cause"]["examples"].append("deadlock"),
    ],
    ids=[
        "nothing",
        "optional field",
        "nullable field",
        "description",
        "nested field",
        "title",
        "order of values",
        "another word of an open list",
    ],
)
def test_additions_break_nobody(change: Changed) -> None:
    assert breaking_changes(BEFORE, changed(change)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s["properties"].pop("note"), [".note: removed or renamed"]),
        (
            lambda s: s["properties"].update(remark=s["properties"].pop("note")),
            [".note: removed or renamed"],
        ),
        (
            lambda s: s["properties"]["tier"].update(type="string"),
            [".tier: type was 'integer', is 'string'"],
        ),
        (
            lambda s: s["properties"]["due"]["anyOf"][0].update(format="date-time"),
            [".due: format was 'date', is 'date-time'"],
        ),
        (lambda s: s["properties"]["tier"].update(minimum=2), [".tier: minimum was 1, is 2"]),
        (
            lambda s: (s["properties"].update(added={"type": "string"}), s["required"].append("added")),
            [".added: is new and required"],
        ),
        (lambda s: s["required"].append("note"), [".note: became required"]),
        (lambda s: s["required"].remove("number"), [".number: no longer always there"]),
        (lambda s: s["properties"]["severity"]["enum"].remove("low"), [".severity: value 'low' is gone"]),
        (
            lambda s: s["properties"]["severity"]["enum"].append("dire"),
            [".severity: value 'dire' is new to closed readers"],
        ),
        (lambda s: s["properties"]["severity"].pop("enum"), [".severity: the enum was opened"]),
        (lambda s: s["properties"]["cause"]["examples"].remove("clock"), [".cause: value 'clock' is gone"]),
        (lambda s: s["properties"]["note"].update(enum=["a"]), [".note: narrowed to an enum"]),
        (
            lambda s: s["properties"].update(note={"anyOf": [{"type": "string"}, {"type": "null"}]}),
            [".note: may be null now"],
        ),
        (
            lambda s: s["properties"].update(due={"type": "string", "format": "date"}),
            [".due: no longer null"],
        ),
        (
            lambda s: s["properties"]["bodies"]["items"]["properties"].pop("key"),
            [".bodies[].key: removed or renamed"],
        ),
        (
            lambda s: s["properties"]["bodies"].update(items={"type": "string"}),
            [".bodies[].key: removed or renamed", ".bodies[]: type was 'object', is 'string'"],
        ),
        (lambda s: s.pop("additionalProperties"), ["the event: additionalProperties was False, is None"]),
    ],
)
def test_every_other_change_is_named(change: Changed, expected: list[str]) -> None:
    assert breaking_changes(BEFORE, changed(change)) == expected
