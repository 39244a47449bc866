"""`can()` over the whole product of standing, role and action."""

from itertools import product
from uuid import UUID

import pytest

from shared.contracts.base import Scope
from shared.contracts.governance import Role
from shared.web.authz import BOTH, CUSTOMER, EVERYONE, PROVIDER, Action, Principal, can

CUSTOMER_ORG, PROVIDER_ORG, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
SCOPE = Scope(charter_id=UUID(int=9), customer_org_id=CUSTOMER_ORG, provider_org_id=PROVIDER_ORG)
STANDINGS = {"customer": CUSTOMER_ORG, "provider": PROVIDER_ORG, "observer": OTHER}


def principal(org: UUID, *roles: Role, sysadmin: bool = False) -> Principal:
    return Principal(UUID(int=7), org, frozenset(roles), "iss", "sub", "Name", sysadmin)


@pytest.mark.parametrize(
    ("standing", "role", "parties"), list(product(STANDINGS, Role, (CUSTOMER, PROVIDER, BOTH)))
)
def test_an_act_needs_the_party_and_the_role(standing: str, role: Role, parties: frozenset[str]) -> None:
    action = Action("thing.do", parties=parties, roles={Role.om_team})
    allowed = can(principal(STANDINGS[standing], role), action, SCOPE) is None
    assert allowed == (standing in parties and role is Role.om_team)


@pytest.mark.parametrize(("standing", "role"), list(product(STANDINGS, Role)))
def test_everyone_who_sees_a_row_may_read_it(standing: str, role: Role) -> None:
    assert can(principal(STANDINGS[standing], role), Action("thing.read", parties=EVERYONE), SCOPE) is None


@pytest.mark.parametrize("standing", STANDINGS)
def test_a_mere_observer_never_writes(standing: str) -> None:
    denied = can(principal(STANDINGS[standing], Role.observer), Action("thing.do"), SCOPE)
    assert denied is not None
    assert denied.code == "observers_read_only"


@pytest.mark.parametrize("parties", [CUSTOMER, PROVIDER, BOTH, EVERYONE])
def test_a_platform_administrator_takes_no_part_in_governance(parties: frozenset[str]) -> None:
    caller = principal(CUSTOMER_ORG, *Role, sysadmin=True)
    assert can(caller, Action("thing.do", parties=parties), SCOPE) is not None
    assert can(caller, Action("thing.read", parties=parties), SCOPE) is not None
    assert can(caller, Action("organization.create", sysadmin=True), None) is None


def test_before_a_row_is_loaded_only_the_role_is_asked() -> None:
    action = Action("thing.do", parties=CUSTOMER, roles={Role.om_team})
    assert can(principal(PROVIDER_ORG, Role.om_team), action, None) is None
    assert can(principal(CUSTOMER_ORG, Role.isso), action, None) is not None
