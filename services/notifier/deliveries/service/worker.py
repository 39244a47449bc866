"""The delivery worker: claims what is due, has it sent, and writes what came of it, one transaction a turn."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.deliveries.service.claiming import Claimed, claim, give_back
from services.notifier.deliveries.service.fanout import WAKE_UP
from services.notifier.deliveries.service.results import Outcome, Unwritten, keep
from services.notifier.deliveries.service.sending import Sending
from services.notifier.tools import Tools
from shared.data.database_errors import DatabaseError, kind_of
from shared.data.session import Database

log = structlog.get_logger()

POLL_SECONDS = 0.2
RESULT_SECONDS = 0.05
"""How long a result may wait for others to be written with it, when nothing else is to be done."""
AFTER_TROUBLE_SECONDS = 1.0
BATCH = 128


class DeliveryWorker:
    """One sender. Any number may run: leases and what may be in flight live in the database."""

    def __init__(self, database: Database, tools: Tools) -> None:
        self._database = database
        self._tools = tools
        self._stopping = asyncio.Event()
        self._wake_up = database.wake_ups[WAKE_UP]
        self._later: asyncio.TimerHandle | None = None
        self._unwritten = Unwritten()
        self._more_due: set[UUID] = set()

    async def run(self) -> None:
        """Send until stopped; then give back what waits, and finish what is in flight."""
        async with self._tools.channel() as channel:
            sending = Sending(channel, self._tools, self._finished)
            while not self._stopping.is_set():
                await self._survive(sending)
            await self._turn(sending, claiming=False)
            await sending.done()
            await self._turn(sending, claiming=False)

    async def stop(self) -> None:
        self._stopping.set()
        self._wake_up.set()

    async def run_once(self) -> int:
        """Send everything that is due now and write the results; how many attempts were made."""
        made = 0
        async with self._tools.channel() as channel:
            sending = Sending(channel, self._tools, self._finished)
            while claimed := await self._turn(sending):
                made += claimed
                await sending.done()
        return made

    async def _survive(self, sending: Sending) -> None:
        """One turn; a database that is away costs a second, not the loop. Unwritten results are kept."""
        self._wake_up.clear()
        try:
            await self._turn(sending)
        except Exception as error:
            log.error("delivery_turn_failed", exc_info=error)
            await asyncio.sleep(AFTER_TROUBLE_SECONDS)
        else:
            await self._something_to_do()

    async def _something_to_do(self) -> None:
        """Until something is due or was answered; retries become due unseen, so look again now and then."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake_up.wait()
        except TimeoutError:
            return

    def _finished(self, outcome: Outcome, is_short: bool) -> None:
        """Turn at once when its endpoint could have more to send, else a little later, with other results."""
        self._unwritten.add(outcome)
        if is_short and outcome.claimed.endpoint_id in self._more_due:
            self._wake_up.set()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(RESULT_SECONDS, self._wake_up.set)

    async def _turn(self, sending: Sending, *, claiming: bool = True) -> int:
        """Write results, give back what is not to be sent, claim and start; how many were claimed."""
        now, results, unsent = self._begin(sending, everything=not claiming)
        try:
            async with self._database.system() as session:
                await keep(session, results, now, self._tools.jitter)
                await give_back(session, unsent)
                claimed = await self._claim(session, sending, results) if claiming else []
        except Exception as error:
            if not results or kind_of(error) is DatabaseError.UNAVAILABLE:
                raise
            await self._write_apart(results)
            return await self._turn(sending, claiming=claiming)
        self._unwritten.written(results)
        sending.given_back(unsent)
        self._expect_more(claimed, results)
        sending.add(claimed)
        return len(claimed)

    def _begin(self, sending: Sending, *, everything: bool) -> tuple[datetime, list[Outcome], list[Claimed]]:
        if self._later:
            self._later.cancel()
            self._later = None
        now = self._tools.clock()
        return now, self._unwritten.ready(self._tools.real_time()), sending.unsent(everything=everything)

    async def _claim(
        self, session: AsyncSession, sending: Sending, results: Sequence[Outcome]
    ) -> list[Claimed]:
        free = min(BATCH, self._tools.settings.concurrency - len(sending))
        if free <= 0:
            return []
        own = sending.held() + self._unwritten.held() - Counter(o.claimed.endpoint_id for o in results)
        now, real_now = self._tools.clock(), self._tools.real_time()
        return await claim(session, self._tools.vault, now, real_now, free, sending.ahead(), own)

    def _expect_more(self, claimed: Sequence[Claimed], results: Sequence[Outcome]) -> None:
        """An endpoint that was given as many as it had room for has probably more; one that was given less has not."""
        counts = Counter(each.endpoint_id for each in claimed)
        self._more_due -= {outcome.claimed.endpoint_id for outcome in results}
        self._more_due |= {each.endpoint_id for each in claimed if counts[each.endpoint_id] >= each.room}
        if len(claimed) >= BATCH:
            self._more_due |= counts.keys()

    async def _write_apart(self, results: Sequence[Outcome]) -> None:
        """Write each by itself. One that cannot be written waits, longer each time, and holds up nobody."""
        now, written = self._tools.clock(), []
        async with self._database.system() as session:
            for outcome in results:
                try:
                    async with session.begin_nested():
                        await keep(session, [outcome], now, self._tools.jitter)
                    written.append(outcome)
                except Exception as error:
                    if kind_of(error) is DatabaseError.UNAVAILABLE:
                        raise
                    log.error("result_not_written", delivery=str(outcome.claimed.id), exc_info=error)
                    self._unwritten.postpone(outcome, self._tools.real_time())
        self._unwritten.written(written)
