"""What is wrong with an input is said once per place, in words of the field."""

from datetime import date, time
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from fastapi import Body, FastAPI, Query
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.testclient import TestClient

from shared.web import problems
from shared.web.schemas import AsDate, Count, Exact, In, Instant, Key, Money, Needed, Patch, Text

INSIDES = (
    "function-",
    "Input should",
    "Value error",
    "pydantic",
    "validator",
    "NoneType",
    "constrained",
    "dictionary",
)


class Level(StrEnum):
    low = "low"
    high = "high"


class Mail(BaseModel):
    kind: Literal["mail"]
    address: Text


class Hook(BaseModel):
    kind: Literal["hook"]
    url: Text


class Line(In):
    amount: Money


class Everything(In):
    text: Text | SkipJsonSchema[None] = None
    needed: Needed | SkipJsonSchema[None] = None
    key: Key | None = None
    count: Count = 0
    exact: Exact | None = None
    day: Annotated[date, AsDate] | SkipJsonSchema[None] = None
    moment: Instant | SkipJsonSchema[None] = None
    hour: time | None = None
    level: Level = Level.low
    either: Literal["a", "b"] = "a"
    id: UUID | None = None
    sure: bool = False
    ratio: float = 0.5
    total: Annotated[Decimal, Field(max_digits=3)] | None = None
    lines: Annotated[list[Line], Field(max_length=2)] = Field(default_factory=list)
    causes: dict[Key, Text] = Field(default_factory=dict)
    channel: Annotated[Mail | Hook, Field(discriminator="kind")] | None = None
    nested: Line | SkipJsonSchema[None] = None


app = FastAPI()
problems.install(app)


@app.post("/everything")
async def everything(form: Everything) -> None: ...


@app.get("/list")
async def listed(
    since: Annotated[Instant | SkipJsonSchema[None], Query()] = None,
    level: Annotated[list[Level] | SkipJsonSchema[None], Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> None: ...


@app.get("/required/{number}")
async def required(number: int, period: Annotated[str, Query()]) -> None: ...


client = TestClient(app)


def errors(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    listed = answer.json()["errors"]
    pointers = [error["pointer"] for error in listed]
    assert len(pointers) == len(set(pointers)), "one finding per place"
    assert not [word for word in INSIDES if word in answer.text], answer.text
    return {error["pointer"]: error["message"] for error in listed}


WRONG: dict[str, tuple[object, str]] = {
    "/text": (7, "Give a text."),
    "/needed": ("", "Give at least 1 characters."),
    "/key": ("a b", r"Give a text of the form ^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$"),
    "/count": ("1", "Give a whole number."),
    "/exact": (1.5, 'send amounts as strings, for example "180000.00"'),
    "/day": (20261001, "send a date such as 2026-10-01"),
    "/moment": ("today", "send an instant with its offset, such as 2026-10-01T08:00:00-04:00"),
    "/hour": ("late", "Give a time of day, such as 08:00:00."),
    "/level": ("highest", "Give one of 'low' or 'high'."),
    "/either": ("c", "Give one of 'a' or 'b'."),
    "/id": ("1", "Give an id, such as 0198c0de-0000-7000-8000-000000000000."),
    "/sure": ("maybe", "Give true or false."),
    "/ratio": ("half", "Give a number."),
    "/total": ("1234", "Give at most 3 digits."),
    "/lines": ([{"amount": "1"}] * 3, "Give at most 2."),
    "/causes": ([], "Give an object."),
    "/channel": ({"kind": "fax"}, "Give one of 'mail', 'hook' as 'kind'."),
    "/nested": ([], "Give an object."),
    "/unknown": (1, "There is no such field."),
}


@pytest.mark.parametrize("place", WRONG)
def test_each_fault_is_one_sentence_at_its_place(place: str) -> None:
    value, message = WRONG[place]
    assert errors(client.post("/everything", json={place[1:]: value})) == {place: message}


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({"lines": [{"amount": "1"}, {"amount": "-1"}]}, {"/lines/1/amount"}),
        ({"lines": [{}]}, {"/lines/0/amount"}),
        ({"lines": ["x"]}, {"/lines/0"}),
        ({"causes": {"a b": "x"}}, {"/causes/a b"}),
        ({"causes": {"a": ""}}, {"/causes/a"}),
        ({"channel": {"kind": "mail"}}, {"/channel/address"}),
        ({"channel": {}}, {"/channel"}),
        ({"nested": {"amount": 1.5}}, {"/nested/amount"}),
        ({"nested": {"amount": "1", "a/b~c": 1}}, {"/nested/a~1b~0c"}),
        ([], {""}),
        ("text", {""}),
    ],
)
def test_a_pointer_leads_to_a_place_of_the_body(body: object, places: set[str]) -> None:
    assert errors(client.post("/everything", json=body)).keys() == places


def test_a_plus_that_became_a_space_is_explained() -> None:
    answer = client.get("/list?since=2026-10-01T00:00:00+00:00")
    assert errors(answer) == {
        "/query/since": "send an instant with its offset, such as 2026-10-01T08:00:00-04:00; in an address, write + as %2B"
    }
    assert client.get("/list?since=2026-10-01T00:00:00%2B00:00").status_code == 200


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/list?limit=0", {"/query/limit": "Give 1 or more."}),
        ("/list?limit=x", {"/query/limit": "Give a whole number."}),
        ("/list?level=low&level=x", {"/query/level/1": "Give one of 'low' or 'high'."}),
        ("/required/1", {"/query/period": "This is required."}),
        ("/required/x?period=1", {"/path/number": "Give a whole number."}),
    ],
)
def test_parameters_are_named_by_where_they_are(path: str, expected: dict[str, str]) -> None:
    assert errors(client.get(path)) == expected


class Renamed(Patch):
    name: Text | SkipJsonSchema[None] = None
    note: Text | None = None
    labels: Annotated[tuple[Text, ...], Field(max_length=5)] | SkipJsonSchema[None] = None


@app.patch("/renamed")
async def rename(form: Annotated[Renamed, Body()]) -> dict[str, Any]:
    return form.changes


def test_a_patch_tells_absent_from_null() -> None:
    assert client.patch("/renamed", json={}).json() == {}
    assert client.patch("/renamed", json={"note": None}).json() == {"note": None}
    assert client.patch("/renamed", json={"name": "n", "labels": []}).json() == {"name": "n", "labels": []}


def test_null_is_refused_where_the_document_knows_none() -> None:
    answer = client.patch("/renamed", json={"name": None, "labels": None, "note": None})
    why = "null is no value here; leave the field out to keep what is stored"
    assert errors(answer) == {"/name": why, "/labels": why}
    documented = Renamed.model_json_schema()["properties"]
    assert "anyOf" not in documented["name"]
    assert {"type": "null"} in documented["note"]["anyOf"]
