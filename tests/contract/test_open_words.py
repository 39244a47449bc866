"""Lists of words in events are open: what a later publisher adds is kept by the readers of today."""

import json
from typing import ClassVar, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from concordat.reference.events import data_schema, event_schema
from concordat.reference.golden import GOLDEN
from shared.contracts import changes, registry
from shared.contracts.base import Ask, Event
from shared.contracts.governance import Role
from shared.messaging.decoding import decode_envelope, decode_event
from shared.messaging.failures import Poison
from tests.contract.words import OPENED, Path, lists_of_words, with_word

pytestmark = pytest.mark.guard

EVENTS = list(registry())
CLOSED = {
    "visibility": "who may see something is never guessed",
    "data.content": "a signed text is read by the format it was signed in",
}
"""Where a list of words is closed, and why."""
LATER = "a_later_word"


def closed_places(schema: dict[str, object]) -> list[str]:
    places = (".".join(at) for at, words in lists_of_words(schema) if "enum" in words)
    return [place for place in places if not any(f"{place}.".startswith(f"{each}.") for each in CLOSED)]


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.TYPE)
def test_no_list_of_words_in_an_event_is_closed(cls: type[Event]) -> None:
    assert closed_places(event_schema(cls)) == [], "write Open[...], or say in CLOSED why not"


def test_the_guard_sees_closed_lists_wherever_they_are() -> None:
    class Part(Ask):
        colour: Literal["red", "green"]

    class Closed(Event):
        """An event of careless people."""

        TYPE: ClassVar[str] = "org.concordat.test.closed.v1"
        TOPIC: ClassVar[str] = "concordat.test"
        AGGREGATE: ClassVar[str] = "test"
        role: Role
        maybe: Literal["a", "b"] | None
        parts: tuple[Part, ...]
        by_name: dict[str, Role]

    assert closed_places(event_schema(Closed)) == [
        "data.role",
        "data.maybe",
        "data.parts.*.colour",
        "data.by_name.*",
    ]


OPEN = [(cls, at) for cls in EVENTS for at, _ in lists_of_words(data_schema(cls)) if at[0] != "content"]


@pytest.mark.parametrize(("cls", "at"), OPEN, ids=[f"{cls.TYPE}:{'.'.join(at)}" for cls, at in OPEN])
def test_a_word_that_a_later_publisher_adds_is_kept_and_fits_the_schema(cls: type[Event], at: Path) -> None:
    newer = json.loads((GOLDEN / cls.TYPE / "0001.json").read_bytes())
    newer["data"] = with_word(newer["data"], at, LATER)
    read = decode_event(decode_envelope(json.dumps(newer).encode()), cls)
    assert read.event.model_dump(mode="json") == newer["data"]
    assert Draft202012Validator(event_schema(cls)).is_valid(newer)


def test_known_words_are_read_as_such_and_others_as_text() -> None:
    data = with_word(
        with_word(OPENED["data"], ("asks", "*", "party"), "auditor"),
        ("asks", "*", "roles"),
        ["archivist", "isso"],
    )
    event = changes.MatterOpened.model_validate(data)
    assert (event.asks[0].party, event.asks[0].roles) == ("auditor", ("archivist", Role.isso))
    assert isinstance(event.asks[0].roles[1], Role)


@pytest.mark.parametrize("nothing_said", [7, None, ["critical"]])
def test_an_open_list_still_takes_words_only(nothing_said: object) -> None:
    with pytest.raises(ValidationError):
        changes.MatterOpened.model_validate(OPENED["data"] | {"severity": nothing_said})


def test_nobody_guesses_who_may_see_an_event() -> None:
    with pytest.raises(Poison, match="visibility"):
        decode_envelope(json.dumps(OPENED | {"visibility": LATER}).encode())
