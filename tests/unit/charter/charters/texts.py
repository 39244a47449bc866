"""Charter texts for tests: the model text and changed copies of it."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from services.charter.charters.domain.model_charter import model_charter
from shared.contracts.governance import ExecutableCharter

MODEL = model_charter(
    title="O&M Governance Charter",
    services=("Payroll", "Accounts Payable"),
    effective=date(2026, 10, 1),
    annual_order_value=Decimal(4_800_000),
)


def changed(path: str, value: Any) -> ExecutableCharter:
    """The model text with the value at that pointer replaced; a whole list when it ends at one."""
    steps = [int(step) if step.isdigit() else step for step in path.strip("/").split("/")]
    return _put(MODEL, steps, value)


def _put(node: Any, steps: list[int | str], value: Any) -> Any:
    if not steps:
        return value
    first, *rest = steps
    if isinstance(first, int):
        return (*node[:first], _put(node[first], rest, value), *node[first + 1 :])
    if isinstance(node, dict):
        return {**node, first: _put(node.get(first), rest, value)}
    return replace(node, **{first: _put(getattr(node, first), rest, value)})
