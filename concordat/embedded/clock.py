"""The clock of the embedded mode: where it stands, and the routes that move it. Nothing else has them."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import asyncpg
from fastapi import Depends, FastAPI, Request

from concordat.embedded import moves
from concordat.embedded.passing import Happened, pass_time
from concordat.embedded.server import Platform
from services.registry import SERVICES
from shared.calendars.business_days import FEDERAL_ET
from shared.calendars.zones import zone_named
from shared.contracts.governance import CalendarRules
from shared.data.directory import governance
from shared.pure.refusal import Forbidden, Invalid, Refused
from shared.runtime.clock import ShiftedClock
from shared.web import problems
from shared.web.auth import Bearer
from shared.web.requests import StrictRequest
from shared.web.schemas import In, Out, Text

_LAST_ACT: Final = "SELECT at FROM {}.audit ORDER BY id DESC LIMIT 1"
STATE_FILE: Final = "clock.json"
ZONE: Final = FEDERAL_ET.zone
"""Of moments given without an offset; the demonstration's charter keeps Washington time."""


class Advance(In):
    """How far, and by which calendar's business days: of the demonstration's charter, or of the one named."""

    by: Text
    calendar: Text | None = None
    charter_id: UUID | None = None


class Goal(In):
    to: Text


class NextDue(Out):
    at: datetime
    service: str


class Standing(Out):
    """Where the clock stands, how far ahead of real time, and what it comes to next."""

    now: datetime
    local: str
    ahead_seconds: int
    next_due: NextDue | None


class Moved(Standing):
    """What happened on the way, in order."""

    happened: list[Happened]


class PlatformClock:
    """Moves the one clock that all services share, and remembers how far over a restart."""

    def __init__(
        self, clock: ShiftedClock, services: Mapping[str, FastAPI], folder: Path, charter_id: UUID | None
    ) -> None:
        """`charter_id` is the charter whose calendar counts where none is named."""
        self.clock = clock
        self.services = services
        self._folder = folder
        self._charter_id = charter_id
        self._moving = asyncio.Lock()

    async def move_to(self, until: datetime) -> list[Happened]:
        """See `pass_time`. While it lasts the clock stands at the moment that is being handled."""
        async with self._moving:
            try:
                with self.clock.standing():
                    return await pass_time(self.clock, self.services, until)
            finally:
                remember(self._folder, self.clock)

    async def begin(self, at: datetime | None) -> None:
        """At the start: go on to the moment the clock is to begin at, and keep where it is."""
        if at is not None and at > self.clock():
            await self.move_to(at)
        elif self.clock.shift:
            remember(self._folder, self.clock)

    async def advance(self, form: Advance) -> Moved:
        rules = await self._calendar(form.calendar, form.charter_id or self._charter_id)
        return await self._moved(moves.after(self.clock(), form.by, rules))

    async def set(self, form: Goal) -> Moved:
        return await self._moved(moves.moment(form.to, ZONE))

    async def standing(self) -> Standing:
        now = self.clock()
        wakes = [(await app.state.kernel.due.next_wake(), name) for name, app in self.services.items()]
        first = min(((at, name) for at, name in wakes if at), default=None)
        return Standing(
            now=now,
            local=now.astimezone(zone_named(ZONE)).strftime("%a %Y-%m-%d %H:%M:%S %Z"),
            ahead_seconds=round(self.clock.shift.total_seconds()),
            next_due=NextDue(at=first[0], service=first[1]) if first else None,
        )

    async def _moved(self, until: datetime) -> Moved:
        happened = await self.move_to(until)
        standing = await self.standing()
        return Moved(**standing.model_dump(), happened=happened)

    async def _calendar(self, key: str | None, charter_id: UUID | None) -> CalendarRules:
        """The named calendar of a charter, else its first; federal business days where there is no charter."""
        if charter_id is None:
            return FEDERAL_ET
        async with self.services["charter"].state.kernel.database.system() as session:
            charter = (await governance(session, charter_id)).content
        known = {rules.key: rules for rules in charter.calendars}
        if key is not None and key not in known:
            raise Invalid(
                "unknown_calendar", f"The charter has the calendars {', '.join(known)}.", "/calendar"
            )
        return known[key] if key else charter.calendars[0]


def clock_app(platform_clock: PlatformClock) -> FastAPI:
    """`GET /clock`, `POST /clock/advance` and `POST /clock/set`, for the platform administrator of this machine."""
    app = FastAPI(title="Clock of the embedded mode", openapi_url=None, docs_url=None, redoc_url=None)
    problems.install(app)

    async def administrator(request: Request) -> None:
        kernel = next(iter(platform_clock.services.values())).state.kernel
        strict = StrictRequest(request.scope, request.receive)
        await Bearer().recognise(kernel, strict)
        if not strict.state.identity.is_sysadmin:
            raise Forbidden("sysadmin_required", "Only the platform administrator moves the clock.")

    @app.get("/clock")
    async def show() -> Standing:
        return await platform_clock.standing()

    @app.post("/clock/advance")
    async def advance(form: Advance, caller: Annotated[None, Depends(administrator)]) -> Moved:
        return await platform_clock.advance(form)

    @app.post("/clock/set")
    async def set_clock(form: Goal, caller: Annotated[None, Depends(administrator)]) -> Moved:
        return await platform_clock.set(form)

    return app


async def start_clock(ready: Platform, wanted: datetime | None) -> ShiftedClock:
    """The clock of an installation, never before what its data record; refuses `clock_backwards`.

    With a moment `wanted` it begins where the data end, so that what is due until then can happen (`begin`).
    """
    recorded = await _last_recorded(ready)
    clock = ShiftedClock(remembered(ready.folder))
    if wanted is None:
        if recorded is not None and recorded > clock():
            clock.set(recorded)
        return clock
    if recorded is not None and wanted < recorded:
        message = f"The data go to {recorded:%Y-%m-%d %H:%M} UTC already, and the clock cannot go back."
        raise Refused("clock_backwards", message, "/to")
    return ShiftedClock((recorded or wanted) - clock.real())


async def _last_recorded(ready: Platform) -> datetime | None:
    """When the last act of any service happened."""
    connection = await asyncpg.connect(ready.admin_url)
    try:
        acts = [await connection.fetchval(_LAST_ACT.format(service)) for service in SERVICES]
    finally:
        await connection.close()
    return max((at for at in acts if at), default=None)


def remember(folder: Path, clock: ShiftedClock) -> None:
    """Keep how far the clock was moved, for the next start."""
    (folder / STATE_FILE).write_text(json.dumps({"ahead_seconds": clock.shift.total_seconds()}))


def remembered(folder: Path) -> timedelta:
    """How far the clock of this folder was moved."""
    kept = folder / STATE_FILE
    return timedelta(seconds=json.loads(kept.read_text())["ahead_seconds"]) if kept.exists() else timedelta()
