"""Every service's copy of who exists, kept from events that come in any order between aggregates."""

from collections.abc import AsyncIterator
from itertools import permutations

import pytest
from sqlalchemy import text

from concordat.embedded.issuer import ISSUER
from shared.contracts.base import Scope
from shared.contracts.charter import MemberChanged
from shared.contracts.governance import Role
from shared.data.ids import uuid7
from tests.conftest import StartService
from tests.support.harness import RunningService


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as started:
        yield started


async def memberships(s: RunningService, subject: str) -> list[tuple[object, bool]]:
    async with s.kernel.database.system() as session:
        rows = await session.execute(
            text("SELECT id, active FROM member WHERE subject = :subject ORDER BY id"), {"subject": subject}
        )
        return [(row.id, row.active) for row in rows]


@pytest.mark.parametrize(
    "order", [order for order in permutations(range(4)) if order.index(0) < order.index(1)]
)
async def test_who_changed_the_organization_acts_for_the_new_one_in_whatever_order_it_arrives(
    s: RunningService, order: tuple[int, ...]
) -> None:
    subject = f"mover-{uuid7()}"
    former, present = uuid7(), uuid7()

    def changed(member: object, side: str, *, active: bool, role: Role = Role.om_team) -> MemberChanged:
        return MemberChanged(
            member_id=member,
            org_id=s.world.orgs[side],
            issuer=ISSUER,
            subject=subject,
            display_name="Ann Lee",
            roles=(role,),
            active=active,
        )

    events = [
        (changed(former, "customer", active=True), 1),
        (changed(former, "customer", active=False), 2),
        (changed(present, "provider", active=True), 1),
        (changed(present, "provider", active=True, role=Role.isso), 2),
    ]
    for event, version in (events[index] for index in order):
        await s.publish(event, aggregate_id=event.member_id, version=version, scope=Scope())

    assert await memberships(s, subject) == [(former, False), (present, True)]
    assert (await s.get(subject, "/changes/v1/change_requests")).status_code == 200
