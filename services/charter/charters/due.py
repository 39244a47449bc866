"""Ratified charters take effect on their day."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.charter.charters.models import Charter
from services.charter.charters.service.ratification import ACTIVATION, activate
from shared.runtime.due import Kind, Step
from shared.web.authz import SYSTEM


async def take_effect(session: AsyncSession, charter: Charter, step: Step, now: datetime) -> None:
    await activate(session, SYSTEM, charter, now)


KINDS = (Kind(ACTIVATION, Charter, take_effect),)
