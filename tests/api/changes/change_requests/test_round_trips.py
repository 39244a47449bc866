"""What a submission costs in round trips, with its number, its matter, its clock, its audit trail and its events."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import StartService
from tests.support.changes import CHANGES, change
from tests.support.harness import RunningService
from tests.support.statements import settled, statements_of

MOST = 6
"""BEGIN and COMMIT among them: the budget of a write with everything on."""


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as service:
        yield service


@pytest.mark.parametrize("key", [None, "counted"])
async def test_a_submission_stays_within_its_budget(s: RunningService, key: str | None) -> None:
    async with statements_of(s) as sent:
        warm = await s.post("customer.business_owner", CHANGES, change(s), key="first on its connection")
        assert warm.status_code == 201, warm.text
        await settled()
        sent.clear()
        counted = await s.post("customer.business_owner", CHANGES, change(s), key=key)
        assert counted.status_code == 201, counted.text
        await settled()
        assert (sent[0], sent[-1], len(sent) <= MOST) == ("BEGIN", "COMMIT", True), sent
