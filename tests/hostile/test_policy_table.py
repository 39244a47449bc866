"""Every action of every service against every role and side: the page in docs/ says what `can()` decides."""

from itertools import product

import pytest

from concordat.reference import ROOT
from concordat.reference.policy_page import (
    ALL,
    ALL_BUT_OBSERVERS,
    NONE,
    OTHER,
    STANDINGS,
    actions_of,
    decided,
    policy_page,
    principal,
)
from services.registry import SERVICES
from shared.contracts.governance import Role
from shared.web.authz import Action, can
from tests.hostile.routes import routes_of

pytestmark = pytest.mark.guard

PAGE = ROOT / "docs" / "policy.md"
ACTIONS = [(service, action) for service in SERVICES for action in actions_of(service)]
EACH = pytest.mark.parametrize(("service", "action"), ACTIONS, ids=[f"{s}: {a.name}" for s, a in ACTIONS])


def test_the_page_says_what_the_code_decides() -> None:
    assert PAGE.read_text(encoding="utf-8") == policy_page(), "run make documents, and review it"


def page() -> dict[tuple[str, str], list[str]]:
    """The rows of the committed page: the cells after the action's name."""
    rows, service = {}, ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            service = line[3:]
        elif line.startswith("| `"):
            name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows[service, name.strip("`")] = cells
    return rows


def allows(cell: str, role: Role) -> bool:
    if cell in (ALL, ALL_BUT_OBSERVERS):
        return cell == ALL or role is not Role.observer
    return cell != NONE and role.value in cell.split(", ")


@EACH
def test_each_role_on_each_side_may_do_exactly_what_the_page_says(service: str, action: Action) -> None:
    _, *cells = page()[service, action.name]
    for (standing, cell), role in product(zip(STANDINGS, cells[:3], strict=True), Role):
        assert (decided(action, standing, role) is None) == allows(cell, role), (standing, role)


@EACH
def test_an_observing_organization_never_writes_what_a_charter_governs(service: str, action: Action) -> None:
    if action.reads or action.own_org:
        return
    assert all(decided(action, "observer", role) for role in Role)


@EACH
def test_a_mere_observer_writes_nowhere(service: str, action: Action) -> None:
    if not action.reads:
        assert all(decided(action, standing, Role.observer) for standing in STANDINGS)


@EACH
def test_an_administrator_may_only_what_names_administrators(service: str, action: Action) -> None:
    everything = principal(OTHER, *Role, sysadmin=True)
    assert (can(everything, action, None) is None) == action.sysadmin


@EACH
def test_every_action_is_asked_for_by_a_route(service: str, action: Action) -> None:
    """An action no route asks for is a rule nobody enforces."""
    assert action in [route.action for route in routes_of(service)]


@pytest.mark.parametrize("service", SERVICES)
def test_no_two_actions_of_a_service_share_a_name(service: str) -> None:
    by_name = {action.name: action for action in actions_of(service)}
    assert [route.action for route in routes_of(service) if by_name[route.action.name] != route.action] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_get_asks_for_leave_to_read_only(service: str) -> None:
    writing = [
        route.label for route in routes_of(service) if route.method == "GET" and not route.action.reads
    ]
    assert writing == []
