"""The AsyncAPI 3.0.0 document: every topic, every event on it, who sends and who listens."""

from collections.abc import Iterator, Sequence
from typing import Any

from concordat.reference.events import Schema
from concordat.reference.sources import (
    channel_of,
    channels,
    events_on,
    first_sentence,
    handled_by,
    installed,
    publishers,
)
from services.registry import SERVICES
from shared.contracts import registry
from shared.contracts.base import Event, schema_name
from shared.messaging.kafka.bus import PARTITIONS, REPLICATION, TOPIC_SETTINGS
from shared.messaging.relay import CONTENT_TYPE

KAFKA_BINDING = "0.5.0"
MEDIA_TYPE = "application/cloudevents+json"
HEADERS: Schema = {
    "type": "object",
    "description": "Attributes repeated for readers that do not open the value (CloudEvents Kafka binding 3.3).",
    "required": [
        "content-type",
        *(f"event_{name}" for name in ("specversion", "id", "source", "type", "subject", "time")),
    ],
    "properties": {
        "content-type": {"const": CONTENT_TYPE},
        "event_specversion": {"const": "1.0"},
        "event_id": {"type": "string", "format": "uuid"},
        "event_source": {"type": "string"},
        "event_type": {"type": "string"},
        "event_subject": {"type": "string", "format": "uuid"},
        "event_time": {"type": "string", "format": "date-time"},
        "traceparent": {"type": "string"},
    },
}
KEY: Schema = {
    "type": "string",
    "format": "uuid",
    "description": "The aggregate's id, which is `subject` too: the events of one aggregate stay in order.",
}


def asyncapi_document() -> dict[str, Any]:
    """Channels from the registry, receivers from what each running service handles."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Concordat events",
            "version": "1.0.0",
            "description": (
                "What the services tell each other and anybody who listens: CloudEvents 1.0, structured JSON. "
                "Within a major version fields are only added; readers ignore what they do not know. "
                "A field that is described as an extensible enum may take other words later: the examples are those "
                "known so far, and readers keep what they do not know as text."
            ),
        },
        "defaultContentType": MEDIA_TYPE,
        "channels": {channel: _channel(channel) for channel in channels()},
        "operations": dict(_operations()),
        "components": {
            "messages": {cls.__name__: _message(cls) for cls in registry()},
            "schemas": {"headers": HEADERS},
        },
    }


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for channel in channels():
        for service in publishers(channel):
            yield f"{service}_publishes_{channel}", _send(service, channel)
    for service in installed():
        for channel in channels():
            handled = [cls for cls in handled_by(service) if channel_of(cls) == channel]
            if handled:
                yield f"{service}_follows_{channel}", _receive(service, channel, handled)


def _channel(name: str) -> dict[str, Any]:
    classes = events_on(name)
    return {
        "address": classes[0].TOPIC,
        "title": f"Events of {'the ' + name + ' service' if name in SERVICES else 'every service: ' + name}",
        "messages": {cls.__name__: _reference("components", "messages", cls.__name__) for cls in classes},
        "bindings": {
            "kafka": {
                "topic": classes[0].TOPIC,
                "partitions": PARTITIONS,
                "replicas": REPLICATION,
                "topicConfiguration": _topic_configuration(),
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def _topic_configuration() -> dict[str, object]:
    """The topic settings in the binding's types: lists, numbers and truths instead of Kafka's strings."""
    typed: dict[str, object] = {
        name: int(value) if value.isdigit() else value for name, value in TOPIC_SETTINGS.items()
    }
    return typed | {"cleanup.policy": TOPIC_SETTINGS["cleanup.policy"].split(",")}


def _message(cls: type[Event]) -> dict[str, Any]:
    return {
        "name": cls.TYPE,
        "title": cls.__name__,
        "summary": first_sentence(cls),
        "contentType": MEDIA_TYPE,
        "headers": _reference("components", "schemas", "headers"),
        "payload": {"$ref": f"./schemas/{schema_name(cls.TYPE)}"},
        "bindings": {"kafka": {"key": KEY, "bindingVersion": KAFKA_BINDING}},
    }


def _send(service: str, channel: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": _reference("channels", channel),
        "title": f"{service} publishes",
        "messages": _messages(channel, events_on(channel)),
    }


def _receive(service: str, channel: str, classes: Sequence[type[Event]]) -> dict[str, Any]:
    group = {"type": "string", "const": f"concordat-{service}"}
    return {
        "action": "receive",
        "channel": _reference("channels", channel),
        "title": f"{service} follows {channel}",
        "messages": _messages(channel, classes),
        "bindings": {"kafka": {"groupId": group, "bindingVersion": KAFKA_BINDING}},
    }


def _messages(channel: str, classes: Sequence[type[Event]]) -> list[dict[str, str]]:
    return [_reference("channels", channel, "messages", cls.__name__) for cls in classes]


def _reference(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}
