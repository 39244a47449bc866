"""What the sla service follows beyond the directory: nothing yet."""

from shared.app import Handler
from shared.contracts.base import Event

HANDLERS: dict[type[Event], Handler] = {}
