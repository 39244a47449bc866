"""What the changes service follows beyond the directory: nothing yet."""

from shared.contracts.base import Event
from shared.runtime.kernel import Handler

HANDLERS: dict[type[Event], Handler] = {}
