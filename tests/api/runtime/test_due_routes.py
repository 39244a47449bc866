"""Operators see which deadlines failed and why, and have them tried at once; members of organizations cannot."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from shared.data.ids import uuid7
from shared.data.session import Versioned
from shared.runtime.due import schedule
from tests.conftest import StartService
from tests.support.harness import RunningService

PATH = "/changes/v1/due"


@pytest.fixture
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as service:
        yield service


class Subject(Versioned):
    """Something of the platform's own that waits for a moment."""

    def __init__(self) -> None:
        self.id = uuid7()

    @property
    def aggregate(self) -> str:
        return "toy"


async def wait_for(s: RunningService, kind: str, attempts: int = 0) -> UUID:
    """A deadline a day off that failed so many times; returns the id of its subject."""
    subject = Subject()
    async with s.kernel.database.system() as session:
        await schedule(session, kind, subject, s.clock() + timedelta(days=1))
        await session.execute(
            text("UPDATE due SET attempts = :n, last_error = :why WHERE subject_id = :id"),
            {"n": attempts, "why": "Refused: no such hour" if attempts else None, "id": subject.id},
        )
    return subject.id


async def listed(s: RunningService, **params: object) -> list[dict[str, Any]]:
    answer = await s.get("sysadmin", PATH, **params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_what_failed_is_listed_with_its_reason_and_what_waits_apart_from_it(s: RunningService) -> None:
    failed, waits = await wait_for(s, "a", attempts=3), await wait_for(s, "a")
    (row,) = await listed(s)
    assert (row["subject_id"], row["attempts"], row["last_error"]) == (
        str(failed),
        3,
        "Refused: no such hour",
    )
    assert [row["subject_id"] for row in await listed(s, state="waiting")] == [str(waits)]
    assert await listed(s, kind="b") == []


async def test_a_long_list_comes_in_pages(s: RunningService) -> None:
    subjects = [str(await wait_for(s, "a", attempts=1)) for _ in range(5)]
    seen: list[str] = []
    cursor: dict[str, object] = {}
    while True:
        page = (await s.get("sysadmin", PATH, limit=2, **cursor)).json()
        seen += [row["subject_id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == subjects


async def test_postponed_ones_are_tried_at_once_and_that_is_audited(s: RunningService) -> None:
    await wait_for(s, "a", attempts=1)
    await wait_for(s, "b", attempts=1)
    await wait_for(s, "b")
    (one,) = await listed(s, kind="a")
    tried = await s.post("sysadmin", f"{PATH}/retry", {"ids": [one["id"]]})
    assert tried.json() == {"ids": [one["id"]]}
    tried = await s.post("sysadmin", f"{PATH}/retry", {"kind": "b"})
    assert len(tried.json()["ids"]) == 1  # what only waits for its moment is left alone
    now = s.clock().isoformat()[:19]
    assert [row["wakes_at"][:19] for row in await listed(s)] == [now, now]
    async with s.kernel.database.system() as session:
        query = text("SELECT count(*) FROM audit WHERE action = 'due.retry' AND object_type = 'due'")
        assert await session.scalar(query) == 2


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"kind": ""}, {"ids": ["x"]}, {"id": []}])
async def test_a_retry_names_what_it_means(s: RunningService, body: dict[str, object]) -> None:
    assert (await s.post("sysadmin", f"{PATH}/retry", body)).status_code == 422


async def test_members_of_an_organization_may_not(s: RunningService) -> None:
    assert (await s.get("customer.org_admin", PATH)).status_code == 403
    assert (await s.post("customer.org_admin", f"{PATH}/retry", {"kind": "a"})).status_code == 403
