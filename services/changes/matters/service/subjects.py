"""Subjects that live in this service: they take part in what happens to their matter, in the same transaction.

Subjects of other services hear the same from the events of the matter (`shared/matters`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.matters.models import Decision, Matter
from shared.data.session import Governed, load
from shared.web.authz import Actor


@dataclass(frozen=True)
class SubjectText:
    """What is decided upon, in the bytes that are kept for good, and how they are written."""

    text: bytes
    text_format: int


@dataclass(frozen=True)
class Subject:
    """What a feature does for its kind of subject: `apply` carries out a decision on its row."""

    model: type[Governed]
    apply: Callable[[AsyncSession, Any, Matter, Decision, Actor, datetime], Awaitable[None]]


IN_PROCESS: dict[str, Subject] = {}
"""By kind; the service's `app.py` fills it."""


async def touch(session: AsyncSession, matter: Matter, now: datetime) -> None:
    """Something happened to the matter alone: its subject, which shows it, has a new version too."""
    if matter.subject_kind in IN_PROCESS:
        row = await _row(session, matter)
        row.version += 1
        row.updated_at = now


def snapshot(matter: Matter) -> dict[str, object]:
    """What stands in the text decided upon, to be read; of one kept elsewhere we have no more than the matter says."""
    if matter.subject_text is not None:
        read: dict[str, object] = orjson.loads(matter.subject_text)
        return read
    return {
        "kind": matter.subject_kind,
        "number": matter.subject_number,
        "title": matter.title,
        "severity": str(matter.severity),
        "impact": matter.impact,
    }


async def apply(session: AsyncSession, matter: Matter, decision: Decision, by: Actor, now: datetime) -> None:
    """Let the subject take the decision, if it lives here."""
    if matter.subject_kind in IN_PROCESS:
        subject = IN_PROCESS[matter.subject_kind]
        await subject.apply(session, await _row(session, matter), matter, decision, by, now)


async def _row(session: AsyncSession, matter: Matter) -> Governed:
    # Whoever changes a subject with an open matter locks the matter first, so its lock covers this row too.
    return await load(session, IN_PROCESS[matter.subject_kind].model, matter.subject_id)
