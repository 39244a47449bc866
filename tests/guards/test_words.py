"""Names are plain words of the field: those that are not, and what to write instead."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.guard

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("shared", "services", "concordat", "scripts", "bench", "tests")
INSTEAD = {
    "announce": "publish, register",
    "emit": "publish",
    "emits": "publishes",
    "emitted": "published",
    "found": "what it is: row, result, match, route",
    "heard": "handled, received",
    "hears": "handles, receives",
    "lane": "partition, worker, queue, key",
    "lanes": "partitions, workers, queues, keys",
    "news": "wake-up, event",
    "said": "what it is: sentence, text, outcome",
    "spoken": "voted, text",
    "told": "sent, published, notified",
}
WHOLE = {"found", "said", "told"}
"""Fine inside a name that reads as a sentence, such as a test's; no name of a thing by themselves."""
KEPT = {("services/notifier/channels/webhook/schemas.py", "told"): "a field of the API"}


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a module gives, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case (
                ast.arg(arg=name)
                | ast.Name(id=name, ctx=ast.Store())
                | ast.Attribute(attr=name, ctx=ast.Store())
            ):
                yield node.lineno, name


def faults(source: str) -> Iterator[tuple[int, str, str]]:
    """Line, name and the word in it that is none of ours."""
    for line, name in names(ast.parse(source)):
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).strip("_").lower().split("_")
        for word in INSTEAD.keys() & set(words):
            if word not in WHOLE or len(words) == 1:
                yield line, name, word


@pytest.mark.parametrize("place", PLACES)
def test_names_are_words_of_the_field(place: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}: write {INSTEAD[word]}"
        for path in sorted((ROOT / place).rglob("*.py"))
        for line, name, word in faults(path.read_text(encoding="utf-8"))
        if (path.relative_to(ROOT).as_posix(), name) not in KEPT
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("def _announce(): ...", "announce"),
        ("class _Lane: ...", "lane"),
        ("found = 1", "found"),
        ("self.lanes = 2", "lanes"),
        ("def publish(told): ...", "told"),
        ("for said in x: ...", "said"),
        ("def heard_by(service): ...", "heard"),
    ],
)
def test_a_word_is_seen_wherever_a_name_is_given(source: str, word: str) -> None:
    assert [each for _, _, each in faults(source)] == [word]


def test_sentences_and_names_of_other_programs_are_left_alone() -> None:
    assert list(faults("def test_an_owner_is_told(): logging.Handler().emit; planes = 1; x.found")) == []


def test_what_is_kept_is_still_there() -> None:
    for path, name in KEPT:
        assert name in {name for _, name in names(ast.parse((ROOT / path).read_text(encoding="utf-8")))}
