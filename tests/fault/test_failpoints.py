"""A fail point kills exactly when it was asked to, and is nothing otherwise."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.runtime import failpoints
from tests.support.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
HIT_THRICE = (
    "from shared.runtime.failpoints import hit\nfor n in (1, 2, 3):\n    print(n, flush=True)\n    hit({!r})"
)


def run(spec: str | None, point: str) -> tuple[int, list[str]]:
    """Exit code and output of a process that passes the point three times."""
    environment = {"PYTHONPATH": str(ROOT)} | ({"FAILPOINT": spec} if spec is not None else {})
    program = [sys.executable, "-c", HIT_THRICE.format(point)]
    done = subprocess.run(
        program, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize(
    ("spec", "passed"),
    [
        (None, 3),
        ("", 3),
        ("relay_after_publish", 3),
        ("api_after_commit", 1),
        ("api_after_commit:1", 1),
        ("api_after_commit:3", 3),
        ("api_after_commit:4", 3),
    ],
)
def test_the_process_dies_at_the_nth_hit_of_the_named_point(spec: str | None, passed: int) -> None:
    code, output = run(spec, "api_after_commit")
    dies = spec in ("api_after_commit", "api_after_commit:1", "api_after_commit:3")
    assert (code, len(output)) == (-signal.SIGKILL if dies else 0, passed)


def test_a_misspelt_point_is_refused_at_the_start() -> None:
    code, output = run("api_after_comit", "api_after_commit")
    assert (code, output) == (1, [])


@pytest.mark.parametrize("point", failpoints.POINTS)
def test_every_point_is_placed_exactly_once(point: str) -> None:
    sources = [*ROOT.glob("shared/**/*.py"), *ROOT.glob("services/**/*.py")]
    assert sum(path.read_text().count(f'failpoints.hit("{point}")') for path in sources) == 1
