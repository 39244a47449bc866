"""Places where a test may kill this process, to prove that dying there loses nothing and repeats nothing.

FAILPOINT=name kills at the first hit, FAILPOINT=name:3 at the third. Unset, a hit is one comparison.
"""

import os
import signal
from collections.abc import Iterator
from typing import Final, Literal, get_args

Point = Literal[
    "api_before_commit",
    "api_after_commit",
    "relay_after_publish",
    "consumer_before_db_commit",
    "consumer_after_db_commit",
    "delivery_after_send",
    "replay_after_event",
]
POINTS: Final[tuple[Point, ...]] = get_args(Point)

_armed: str | None = None
_hits: Iterator[int] = iter(())


def arm(spec: str | None) -> None:
    """Choose the point this process dies at, as FAILPOINT does; None chooses none. Refuses unknown names."""
    global _armed, _hits
    name, _, hits = (spec or "").partition(":")
    if name and name not in POINTS:
        raise ValueError(f"there is no fail point {name!r}; there are {', '.join(POINTS)}")
    _armed, _hits = name or None, iter(range(int(hits or 1) - 1, -1, -1))


def hit(point: Point) -> None:
    """Die here by SIGKILL when this point is armed and it is its turn: no clean-up runs, as in a crash."""
    if _armed is not None and _armed == point and next(_hits) == 0:
        os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("FAILPOINT"))
