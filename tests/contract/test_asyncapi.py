"""The AsyncAPI document: valid by the official schema, resolvable, and true to what the services do."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from concordat.reference.asyncapi import asyncapi_document
from concordat.reference.golden import ROOT
from concordat.reference.sources import handled_by, installed
from services.registry import SERVICES, modules
from shared.contracts import registry
from shared.contracts.base import schema_name
from shared.data import directory
from shared.messaging.projections import Projection
from shared.messaging.relay import CONTENT_TYPE
from tests.support.patience import PATIENCE

DOCUMENT = asyncapi_document()
FOLDER = ROOT / "docs" / "events"


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    """The official schema. Without npm or network there is none: skipped at home, a failure in CI."""
    script = ROOT / "scripts" / "asyncapi_schema.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(done.stderr.strip())
    return Draft7Validator(json.loads(Path(done.stdout.strip()).read_text("utf-8")))


def test_the_document_is_valid_asyncapi(official: Draft7Validator) -> None:
    assert [f"{error.json_path}: {error.message}" for error in official.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("operations/charter_publishes_charter/action", "shout"),
        ("channels/charter/bindings/kafka/partitions", 0),
        ("channels/charter/unknown", 1),
        ("components/messages/CharterSigned/bindings/kafka/bindingVersion", "9.9.9"),
        ("info/version", None),
    ],
)
def test_the_official_schema_sees_what_is_wrong(official: Draft7Validator, path: str, value: object) -> None:
    broken = copy.deepcopy(DOCUMENT)
    *parents, last = path.split("/")
    node = broken
    for name in parents:
        node = node[name]
    node[last] = value
    assert not official.is_valid(broken)


def test_every_reference_leads_somewhere() -> None:
    references = list(_references(DOCUMENT))
    assert len(references) > len(list(registry()))
    for reference in references:
        file, _, pointer = reference.partition("#")
        node = json.loads((FOLDER / file).read_text("utf-8")) if file else DOCUMENT
        for name in filter(None, pointer.split("/")):
            node = node[name]
        assert node, reference


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def test_every_event_is_a_message_of_its_topic() -> None:
    addresses = {
        message: channel["address"]
        for channel in DOCUMENT["channels"].values()
        for message in channel["messages"]
    }
    assert addresses == {cls.__name__: cls.TOPIC for cls in registry()}


def test_every_message_carries_its_schema_key_and_content_type() -> None:
    assert DOCUMENT["components"]["schemas"]["headers"]["properties"]["content-type"]["const"] == CONTENT_TYPE
    for cls in registry():
        message = DOCUMENT["components"]["messages"][cls.__name__]
        assert message["name"] == cls.TYPE
        assert message["payload"] == {"$ref": f"./schemas/{schema_name(cls.TYPE)}"}
        assert message["contentType"] == CONTENT_TYPE.partition(";")[0]
        assert message["bindings"]["kafka"]["key"]["format"] == "uuid"


def _operations(action: str, prefix: str) -> set[str]:
    """The messages of every operation of a kind whose name begins like that."""
    return {
        message["$ref"].rpartition("/")[2]
        for name, operation in DOCUMENT["operations"].items()
        if operation["action"] == action and name.startswith(prefix)
        for message in operation["messages"]
    }


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_sends_what_is_on_its_topic(service: str) -> None:
    own = {cls.__name__ for cls in registry() if cls.TOPIC.removeprefix("concordat.") == service}
    assert own
    assert _operations("send", f"{service}_publishes_{service}") == own


def test_topics_that_no_service_owns_are_published_by_all() -> None:
    for cls in registry():
        channel = cls.TOPIC.removeprefix("concordat.")
        for service in SERVICES if channel not in SERVICES else ():
            assert cls.__name__ in _operations("send", f"{service}_publishes_{channel}")


@pytest.mark.parametrize("service", installed())
def test_each_service_receives_what_its_handlers_take(service: str) -> None:
    made = [value for module in modules(service, "consumers") for value in vars(module).values()]
    own = {event for value in made if isinstance(value, Projection) for event in value.handlers}
    common = {event for projection in directory.PROJECTIONS for event in projection.handlers}
    handled = set(handled_by(service))
    assert own <= handled <= own | common
    assert _operations("receive", f"{service}_follows_") == {cls.__name__ for cls in handled}


def test_every_operation_uses_messages_of_its_own_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])


def test_every_receiver_names_its_consumer_group() -> None:
    for name, operation in DOCUMENT["operations"].items():
        if operation["action"] == "receive":
            service = name.partition("_follows_")[0]
            assert operation["bindings"]["kafka"]["groupId"]["const"] == f"concordat-{service}"
