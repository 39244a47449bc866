"""The charter service follows no other service: it is where everything starts."""

from shared.contracts.base import Event
from shared.runtime.kernel import Handler

HANDLERS: dict[type[Event], Handler] = {}
