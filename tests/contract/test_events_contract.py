"""The published events: schemas, samples and real emissions agree."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from concordat.reference import SCHEMAS
from concordat.reference.golden import GOLDEN, ROOT, SCOPE, TRACE, golden_files, message
from shared.contracts import registry
from shared.contracts.base import Event, Received, Scope, schema_name, schema_uri
from shared.messaging.decoding import decode_envelope, decode_event

pytestmark = pytest.mark.guard

REGISTRY = registry()
EVENTS = list(REGISTRY)
SAMPLES = [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in golden_files()]
FREE_MAPS = {"impact", "rules", "content"}
"""Objects whose names are data, not fields: a signed text is passed on as it was signed."""
Changed = Callable[[dict[str, Any]], object]

st.register_type_strategy(UUID, st.uuids(version=4))


def committed_schema(type_: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((ROOT / SCHEMAS / schema_name(type_)).read_text("utf-8"))
    return schema


def checked(schema: Mapping[str, Any], event: object) -> list[str]:
    checker = FormatChecker(("uuid", "date", "date-time", "time"))
    errors = Draft202012Validator(schema, format_checker=checker).iter_errors(event)
    return [f"{error.json_path}: {error.message}" for error in errors]


def read(message: bytes) -> Received[Event]:
    """As a consumer of today reads it."""
    envelope = decode_envelope(message)
    cls = REGISTRY.get(envelope.type)
    assert cls is not None, f"no class reads {envelope.type} any more"
    return decode_event(envelope, cls)


def sampled(cls: type[Event]) -> Event:
    return read((GOLDEN / cls.TYPE / "0001.json").read_bytes()).event


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.TYPE)
def test_every_event_has_a_golden_sample(cls: type[Event]) -> None:
    assert (GOLDEN / cls.TYPE / "0001.json").exists(), "run `make documents`, then make it realistic"


@pytest.mark.parametrize("path", SAMPLES)
def test_every_event_ever_published_is_read_by_todays_classes(path: Path) -> None:
    received = read(path.read_bytes())
    assert received.envelope.type == path.parent.name
    assert received.envelope.dataschema == schema_uri(path.parent.name)


@pytest.mark.parametrize("path", SAMPLES)
def test_readers_ignore_fields_they_do_not_know(path: Path) -> None:
    newer = read(json.dumps(_with_unknown_fields(json.loads(path.read_bytes()))).encode())
    today = read(path.read_bytes())
    assert newer.event == today.event
    assert newer.envelope.model_copy(update={"data": {}}) == today.envelope.model_copy(update={"data": {}})


def _with_unknown_fields(node: Any) -> Any:
    """The same, with a field that nobody knows yet in every object."""
    if isinstance(node, list):
        return [_with_unknown_fields(item) for item in node]
    if not isinstance(node, dict):
        return node
    known = {key: value if key in FREE_MAPS else _with_unknown_fields(value) for key, value in node.items()}
    return {**known, "added_in_a_later_version": {"nested": [1]}}


@pytest.mark.parametrize("path", SAMPLES)
def test_every_event_ever_published_fits_todays_schema(path: Path) -> None:
    assert checked(committed_schema(path.parent.name), json.loads(path.read_bytes())) == []


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.TYPE)
@pytest.mark.parametrize(
    ("scope", "context"),
    [
        (SCOPE, {}),
        (Scope(), {"actorid": "system", "actorrole": "system"}),
        (
            Scope(customer_org_id=SCOPE.customer_org_id, visibility="customer"),
            {"correlationid": "c-1", "causationid": "c-0", "traceparent": TRACE},
        ),
    ],
    ids=["charter", "platform", "traced"],
)
def test_what_is_published_fits_the_committed_schema(
    cls: type[Event], scope: Scope, context: dict[str, Any]
) -> None:
    sent = message(sampled(cls), scope, **context)
    assert checked(committed_schema(cls.TYPE), json.loads(sent.value or b"")) == []


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.TYPE)
def test_another_cloudevents_implementation_reads_what_is_published(cls: type[Event]) -> None:
    sent = message(sampled(cls), actorid="system", traceparent=TRACE)
    headers = {name: value.encode() for name, value in sent.headers.items()}
    event = from_structured(KafkaMessage(headers, sent.key, sent.value or b""), JSONFormat(), CloudEvent)
    envelope = json.loads(sent.value or b"")
    assert event.get_data() == envelope.pop("data")
    envelope["time"] = datetime.fromisoformat(envelope["time"])
    assert event.get_attributes() == envelope | {"partitionkey": envelope["subject"]}


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.TYPE)
def test_the_headers_repeat_the_attributes(cls: type[Event]) -> None:
    sent = message(sampled(cls))
    headers, envelope = dict(sent.headers), json.loads(sent.value or b"")
    assert headers.pop("content-type").startswith("application/cloudevents+json")
    assert (headers.pop("event_previous"), headers.pop("event_previoustype")) == ("2", cls.TYPE)
    assert headers == {
        f"event_{name}": envelope[name] for name in (key.removeprefix("event_") for key in headers)
    }


MOMENTS = st.datetimes(timezones=st.just(UTC))
st.register_type_strategy(datetime, MOMENTS)  # also inside the models that a field may hold
FINITE = st.decimals(allow_nan=False, allow_infinity=False)
PLAIN: dict[object, st.SearchStrategy[Any]] = {
    datetime: MOMENTS,
    datetime | None: MOMENTS | st.none(),
    Decimal: FINITE,
    Decimal | None: FINITE | st.none(),
    int: st.integers(-(2**31), 2**31 - 1),
}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data(), cls=st.sampled_from([cls for cls in EVENTS if cls.__name__ != "CharterActivated"]))
async def test_whatever_a_publisher_can_build_fits_the_schema_and_is_read_back(
    data: st.DataObject, cls: type[Event]
) -> None:
    fields = {name: data.draw(_values(field.annotation), name) for name, field in cls.model_fields.items()}
    event = cls.model_validate(fields)
    sent = message(event)
    assert checked(committed_schema(cls.TYPE), json.loads(sent.value or b"")) == []
    assert read(sent.value or b"").event == event


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a field as our tables hold them: moments with a zone, finite decimals, 32-bit integers."""
    return PLAIN[annotation] if annotation in PLAIN else st.from_type(annotation)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda event: event.update(surprise=1), "'surprise' was unexpected"),
        (lambda event: event["data"].update(surprise=1), "'surprise' was unexpected"),
        (lambda event: event["data"].pop("body"), "'body' is a required property"),
        (lambda event: event["data"].update(tier="2"), "$.data.tier"),
        (lambda event: event["data"].update(severity=1), "$.data.severity"),
        (lambda event: event.update(type="org.concordat.change.routed.v2"), "$.type"),
        (lambda event: event.update(charterid=None), "$.charterid"),
        (lambda event: event.update(time="yesterday"), "$.time"),
    ],
)
def test_the_producers_schema_is_closed(change: Changed, where: str) -> None:
    type_ = "org.concordat.change.routed.v1"
    event = json.loads((GOLDEN / type_ / "0001.json").read_bytes())
    change(event)
    [error] = checked(committed_schema(type_), event)
    assert where in error


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.TYPE)
def test_dataschema_names_the_schema_of_the_data_alone(cls: type[Event]) -> None:
    schema = committed_schema(cls.TYPE)
    sample = json.loads((GOLDEN / cls.TYPE / "0001.json").read_bytes())
    data = schema["properties"]["data"]
    assert data["$id"] == sample["dataschema"]
    assert data["title"] == cls.__name__
    assert data["description"]
    assert checked(data, sample["data"]) == []
    Draft202012Validator.check_schema(schema)
