"""State machines as tables: what may happen in a state, and where it leads."""

import json
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Generic, TypeVar

from shared.pure.refusal import Refused

S = TypeVar("S", bound=StrEnum)
A = TypeVar("A", bound=StrEnum)


class Transitions(Generic[S, A]):
    """A table `{(state, action): next_state}`; the state of its first row is the initial one."""

    def __init__(self, table: Mapping[tuple[S, A], S]) -> None:
        self.table = MappingProxyType(dict(table))

    def next(self, state: S, action: A) -> S:
        """The state the action leads to; refuses `not_allowed` when the table has no such row."""
        try:
            return self.table[state, action]
        except KeyError:
            raise Refused("not_allowed", self._no(state, action)) from None

    def allowed(self, state: S) -> tuple[A, ...]:
        """The actions possible in that state, in table order; none in a terminal state."""
        return tuple(action for at, action in self.table if at == state)

    def as_mermaid(self, title: str) -> str:
        """A Mermaid `stateDiagram-v2` of the whole table, the same text every time."""
        rows = [f"    {at} --> {to}: {action}" for (at, action), to in self.table.items()]
        start = [f"    [*] --> {at}" for at, _ in list(self.table)[:1]]
        ends = [f"    {state} --> [*]" for state in self._terminal()]
        head = ["---", f"title: {json.dumps(title, ensure_ascii=False)}", "---", "stateDiagram-v2"]
        return "\n".join([*head, *start, *rows, *ends]) + "\n"

    def _terminal(self) -> list[S]:
        return [state for state in dict.fromkeys(self.table.values()) if not self.allowed(state)]

    def _no(self, state: S, action: A) -> str:
        allowed = ", ".join(self.allowed(state)) or "nothing, it is final"
        return f"Cannot {action} in state {state}; allowed in {state}: {allowed}."
