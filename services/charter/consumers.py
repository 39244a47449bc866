"""The charter service follows no other service: it is where everything starts."""

from shared.app import Handler
from shared.contracts.base import Event

HANDLERS: dict[type[Event], Handler] = {}
