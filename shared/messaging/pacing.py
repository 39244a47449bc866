"""How long to wait: before the next try, and for a wake-up."""

import asyncio
import contextlib
import random


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds before the next try: doubling from `first` to `longest`, with jitter so that crowds spread out."""
    return min(longest, first * 2.0 ** min(max(failures, 1) - 1, 16)) * random.uniform(0.5, 1.0)  # noqa: S311


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, though no longer than `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
