"""The yearly review: its clock speaks once per step, and only both parties together close it."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.contracts.charter import CharterReviewDetermined, CharterReviewDueSoon, CharterReviewOverdue
from tests.api.charter.charter_flow import CHARTERS, signed_by_all
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.world import START

CUSTOMER, PROVIDER = "customer.business_owner", "provider.business_owner"
DUE = date(2027, 10, 1)


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("charter", with_charter=False) as started:
        yield started


@pytest.fixture
def s(service: RunningService) -> RunningService:
    service.clock.set(START)
    return service


def path(charter: dict[str, Any]) -> str:
    return f"{CHARTERS}/{charter['id']}/review"


async def determine(s: RunningService, charter: dict[str, Any], member: str, outcome: str) -> httpx.Response:
    version = (await s.get(member, path(charter))).json()["version"]
    body = {"outcome": outcome, "rationale": "It works."}
    return await s.post(member, f"{path(charter)}/determine", body, version=version)


async def pass_day(s: RunningService, day: date) -> None:
    """Let the timers run on the morning of that day, twice."""
    s.clock.set(datetime(day.year, day.month, day.day, 14, 0, tzinfo=UTC))
    await s.drain()
    await s.drain()


async def test_activation_opens_a_review_due_on_the_day_the_text_names(s: RunningService) -> None:
    review = (await s.get("observer.observer", path(await signed_by_all(s)))).json()

    assert (review["state"], review["due"], review["is_overdue"]) == ("open", "2027-10-01", False)
    assert review["statements"] == []


async def test_the_clock_says_each_reminder_and_overdue_exactly_once(s: RunningService) -> None:
    charter = await signed_by_all(s)

    for day in range(100, -5, -1):
        await pass_day(s, DUE - timedelta(days=day))

    soon = [e for e in await s.events(CharterReviewDueSoon) if str(e.charter_id) == charter["id"]]
    overdue = [e for e in await s.events(CharterReviewOverdue) if str(e.charter_id) == charter["id"]]
    assert [e.days_left for e in soon] == [90, 60, 30, 14, 0]
    assert [e.due for e in overdue] == [DUE]
    assert (await s.get(CUSTOMER, path(charter))).json()["is_overdue"] is True


async def test_reminders_slept_through_are_not_sent_in_a_heap(s: RunningService) -> None:
    charter = await signed_by_all(s)

    await pass_day(s, DUE - timedelta(days=20))

    soon = [e for e in await s.events(CharterReviewDueSoon) if str(e.charter_id) == charter["id"]]
    assert [e.days_left for e in soon] == [20]


async def test_a_charter_that_begins_after_its_review_was_due_is_overdue_at_once(s: RunningService) -> None:
    charter = await signed_by_all(s, effective="2025-01-01")

    await s.drain()

    overdue = [e for e in await s.events(CharterReviewOverdue) if str(e.charter_id) == charter["id"]]
    assert [e.due for e in overdue] == [date(2026, 1, 1)]


async def test_one_party_alone_does_not_close_the_review(s: RunningService) -> None:
    charter = await signed_by_all(s)

    first = await determine(s, charter, CUSTOMER, "amend")
    again = await determine(s, charter, CUSTOMER, "no_change")

    assert first.json()["state"] == again.json()["state"] == "open"
    assert [(x["party"], x["outcome"]) for x in again.json()["statements"]] == [("customer", "no_change")]
    assert not [e for e in await s.events(CharterReviewDetermined) if str(e.charter_id) == charter["id"]]


async def test_a_different_outcome_is_refused_until_one_party_changes(s: RunningService) -> None:
    charter = await signed_by_all(s)
    await determine(s, charter, CUSTOMER, "amend")

    refused = await determine(s, charter, PROVIDER, "no_change")

    assert (refused.status_code, refused.json()["code"]) == (409, "outcomes_differ")
    assert "customer determined amend" in refused.json()["detail"]
    await determine(s, charter, CUSTOMER, "no_change")
    agreed = await determine(s, charter, PROVIDER, "no_change")
    assert (agreed.json()["state"], agreed.json()["outcome"]) == ("closed", "no_change")


async def test_both_parties_close_the_review_and_set_the_next_one_a_year_on(s: RunningService) -> None:
    charter = await signed_by_all(s)
    s.clock.set(datetime(2027, 6, 30, 15, 0, tzinfo=UTC))
    await determine(s, charter, CUSTOMER, "renew")

    closed = await determine(s, charter, PROVIDER, "renew")

    assert len(closed.json()["statements"]) == 2
    event = (await s.events(CharterReviewDetermined))[-1]
    assert (event.outcome, event.next_review_due) == ("renew", date(2028, 6, 29))
    following = (await s.get(CUSTOMER, path(charter))).json()
    assert (following["state"], following["due"], following["statements"]) == ("open", "2028-06-29", [])
    read = (await s.get(CUSTOMER, f"{CHARTERS}/{charter['id']}")).json()
    assert read["next_review_due"] == "2028-06-29"


async def test_a_closed_review_says_nothing_more_about_its_old_date(s: RunningService) -> None:
    charter = await signed_by_all(s)
    await determine(s, charter, CUSTOMER, "no_change")
    await determine(s, charter, PROVIDER, "no_change")

    await pass_day(s, DUE + timedelta(days=1))

    overdue = [e for e in await s.events(CharterReviewOverdue) if str(e.charter_id) == charter["id"]]
    assert overdue == []


async def test_both_parties_who_determine_terminate_end_the_yearly_clock(s: RunningService) -> None:
    charter = await signed_by_all(s)
    await determine(s, charter, CUSTOMER, "terminate")

    closed = await determine(s, charter, PROVIDER, "terminate")

    assert (closed.json()["state"], closed.json()["outcome"]) == ("closed", "terminate")
    read = (await s.get(CUSTOMER, f"{CHARTERS}/{charter['id']}")).json()
    assert (read["state"], read["next_review_due"]) == ("terminating", charter["next_review_due"])
    event = (await s.events(CharterReviewDetermined))[-1]
    assert (str(event.charter_id), event.outcome) == (charter["id"], "terminate")
    for years in (1, 2):
        await pass_day(s, DUE + timedelta(days=365 * years))
    late = [e for e in await s.events(CharterReviewDueSoon) if str(e.charter_id) == charter["id"]]
    late += [e for e in await s.events(CharterReviewOverdue) if str(e.charter_id) == charter["id"]]
    assert late == []
    last = (await s.get(CUSTOMER, path(charter))).json()
    assert last == closed.json()
    again = await determine(s, charter, CUSTOMER, "no_change")
    assert (again.status_code, again.json()["code"]) == (409, "not_allowed")
    everything = (await s.get(CUSTOMER, "/charter/v1/reviews", charter_id=charter["id"])).json()["items"]
    assert [item["state"] for item in everything] == ["closed"]


@pytest.mark.parametrize("member", ["customer.om_team", "customer.executive_sponsor", "observer.om_team"])
async def test_only_business_owners_of_the_parties_determine(s: RunningService, member: str) -> None:
    charter = await signed_by_all(s)

    assert (await determine(s, charter, member, "no_change")).status_code == 403


async def test_a_determination_needs_the_version_that_was_read(s: RunningService) -> None:
    charter = await signed_by_all(s)
    body = {"outcome": "no_change", "rationale": "It works."}

    assert (await s.post(CUSTOMER, f"{path(charter)}/determine", body)).status_code == 428
    assert (await s.post(CUSTOMER, f"{path(charter)}/determine", body, version=9)).status_code == 412
