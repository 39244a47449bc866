"""How long a test waits for what must come. It bounds a hang and nothing else: no test judges how fast anything is.

This is the only place of the suite that reads a running clock (`tests/contract/test_no_test_judges_time.py`). What
took how long is measured by `make bench`, as ratios within one run.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

PATIENCE: Final = 180.0
"""Seconds. Whatever is not here after that is taken never to come, on the busiest machine."""
LOOK_AGAIN: Final = 0.02


class Patience:
    """Runs out `PATIENCE` seconds after it was made."""

    def __init__(self, seconds: float = PATIENCE) -> None:
        self._end = time.monotonic() + seconds

    @property
    def is_left(self) -> bool:
        return time.monotonic() < self._end


async def until(holds: Callable[[], Awaitable[bool]] | Callable[[], bool], pause: float = LOOK_AGAIN) -> None:
    """Wait for a condition, asked again after each `pause`. TimeoutError when it never comes true."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(pause)
