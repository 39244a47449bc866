"""docs/policy.md: for every action of every service, which roles may do it on which side."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from concordat.reference.sources import Route, app_of, routes_of
from services.registry import SERVICES, modules
from shared.contracts.base import Scope
from shared.contracts.governance import Role
from shared.web.authz import Action, Deny, Principal, can

CUSTOMER, PROVIDER, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
SCOPE = Scope(charter_id=UUID(int=9), customer_org_id=CUSTOMER, provider_org_id=PROVIDER)
STANDINGS = {"customer": CUSTOMER, "provider": PROVIDER, "observer": OTHER}
ALL, ALL_BUT_OBSERVERS, NONE = "every role", "every role but observer", "—"
INTRODUCTION = """# Who may do what

Generated from the policy tables (`services/*/*/policy.py`, `shared/web/operations.py`, `shared/audit/api.py`) by asking
`shared.web.authz.can` about every action, role and side.

- The columns are what the caller's organization is to the row: the customer or the provider of its charter, or an
  observer. Rows of any other charter do not exist for the caller, whatever its role (row-level security).
- "own" marks acts on the caller's own organization and what belongs to it; no side plays a part there.
- Votes, signatures and reports ask for more than this table: a seat, the other party's turn, another person.
- A platform administrator takes part in no governance.
"""


def principal(org: UUID, *roles: Role, sysadmin: bool = False) -> Principal:
    return Principal(UUID(int=7), org, frozenset(roles), "issuer", "subject", "Name", sysadmin)


def actions_of(service: str) -> list[Action]:
    """The actions of a service's policy table, and those the kernel's routes bring along, by name."""
    tables = [vars(module).values() for module in modules(service, "policy")]
    known = [each for table in tables for each in table if isinstance(each, Action)]
    brought = [route.action for route in _routes_of(service) if route.action]
    return sorted({each.name: each for each in (*known, *brought)}.values(), key=lambda action: action.name)


def decided(action: Action, standing: str, role: Role) -> Deny | None:
    return can(principal(STANDINGS[standing], role), action, SCOPE)


def roles_that_may(action: Action, standing: str) -> str:
    """The roles, in words where they are nearly all."""
    may = {role for role in Role if decided(action, standing, role) is None}
    if may == set(Role):
        return ALL
    if may == set(Role) - {Role.observer}:
        return ALL_BUT_OBSERVERS
    return ", ".join(sorted(may)) or NONE


def policy_page() -> str:
    """The whole page."""
    return INTRODUCTION + "".join(f"\n## {service}\n\n{''.join(_table(service))}" for service in SERVICES)


def _table(service: str) -> Iterator[str]:
    yield from _row(("action", "own", *STANDINGS, "platform administrator", "routes"))
    yield from _row(["---"] * 7)
    for action in actions_of(service):
        administrator = can(principal(OTHER, sysadmin=True), action, None) is None
        cells = [roles_that_may(action, standing) for standing in STANDINGS]
        own, may = ("yes" if flag else "" for flag in (action.own_org, administrator))
        yield from _row((f"`{action.name}`", own, *cells, may, _routes(service, action)))


def _routes(service: str, action: Action) -> str:
    names = [route.name for route in _routes_of(service) if route.action == action]
    return ", ".join(f"`{name}`" for name in names) or NONE


def _row(cells: Iterable[str]) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |\n"


def _routes_of(service: str) -> list[Route]:
    return routes_of(app_of(service))
