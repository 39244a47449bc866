"""No test fails because the machine is slow: a test states facts and counts, and waits as long as `PATIENCE` says."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "thread_time"}
THE_ONE_CLOCK = TESTS / "support" / "patience.py"
WAITS = {"timeout": 0, "timeout_at": 0, "wait_for": 1}
"""Calls that give up, and which argument says when."""
GENEROUS = 60.0


def judgements(source: str) -> Iterator[str]:
    """Where a module reads a running clock or gives up early, with the line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute | ast.Name) and _name(node) in CLOCKS:
            yield f"line {node.lineno} reads {_name(node)}"
        if isinstance(node, ast.Call):
            yield from (f"line {node.lineno} gives up after {s} s" for s in _limits(node) if s < GENEROUS)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _limits(call: ast.Call) -> Iterator[float]:
    """The numbers written into a call that say how long to wait at most."""
    place = WAITS.get(_name(call.func))
    given = call.args[place : place + 1] if place is not None else []
    given += [each.value for each in call.keywords if each.arg == "timeout"]
    for each in given:
        if isinstance(each, ast.Constant) and isinstance(each.value, int | float):
            yield each.value


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("assert time.monotonic() - began < 5", ["line 1 reads monotonic"]),
        ("from time import perf_counter\nperf_counter()", ["line 2 reads perf_counter"]),
        ("asyncio.timeout(4)", ["line 1 gives up after 4 s"]),
        ("asyncio.wait_for(done, 2.5)", ["line 1 gives up after 2.5 s"]),
        ("httpx.AsyncClient(timeout=10)", ["line 1 gives up after 10 s"]),
        ("asyncio.timeout(PATIENCE)", []),
        ("httpx.AsyncClient(timeout=300)", []),
    ],
)
def test_a_judgement_of_time_is_seen(source: str, named: list[str]) -> None:
    assert list(judgements(source)) == named


def test_no_test_judges_time() -> None:
    modules = sorted(TESTS.rglob("*.py"))
    named = {
        str(module.relative_to(TESTS)): list(judgements(module.read_text()))
        for module in modules
        if module != THE_ONE_CLOCK
    }
    assert {module: each for module, each in named.items() if each} == {}
