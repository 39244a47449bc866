"""Who may do what: one pure, table-driven decision, `can(principal, action, resource)`.

Each service's `policy.py` is the table of its actions. Row-level security repeats the
organization boundary underneath, so that a forgotten check shows no foreign row.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from shared.contracts.base import Scope
from shared.contracts.governance import Party, Role
from shared.pure.refusal import Forbidden

Standing = Literal["customer", "provider", "observer"]

NOBODY = UUID(int=0)
CUSTOMER: frozenset[Standing] = frozenset({"customer"})
PROVIDER: frozenset[Standing] = frozenset({"provider"})
BOTH: frozenset[Standing] = CUSTOMER | PROVIDER
EVERYONE: frozenset[Standing] = BOTH | {"observer"}


@dataclass(frozen=True)
class Principal:
    """Who is calling: a member of one organization, or a platform administrator (who governs nothing)."""

    member_id: UUID
    org_id: UUID
    roles: frozenset[Role]
    issuer: str
    subject: str
    display_name: str
    is_sysadmin: bool = False

    def standing(self, scope: Scope) -> Standing:
        """What the caller's organization is to a row. Rows of strangers are never loaded."""
        if self.org_id == scope.customer_org_id:
            return "customer"
        return "provider" if self.org_id == scope.provider_org_id else "observer"

    def party(self, scope: Scope) -> Party | None:
        """The caller's side on a row; None for observers."""
        standing = self.standing(scope)
        return None if standing == "observer" else Party(standing)


@dataclass(frozen=True)
class System:
    """The actor of timers and consumers: may warn, expire, elevate or mark overdue; never approves."""

    display_name: str = "system"


SYSTEM = System()
Actor = Principal | System


@dataclass(frozen=True)
class Action:
    """One row of a policy table. `roles` None: every role; `sysadmin`: platform administrators too.

    `parties` is what the caller's organization must be on the row; `own_org` marks acts on the
    caller's own organization, which have no charter.
    """

    name: str
    parties: AbstractSet[Standing] = EVERYONE
    roles: AbstractSet[Role] | None = None
    sysadmin: bool = False
    own_org: bool = False

    @property
    def reads(self) -> bool:
        return self.name.endswith(".read")


@dataclass(frozen=True)
class Deny:
    """Why not: a stable code and a sentence that says who may."""

    code: str
    message: str


def can(principal: Principal, action: Action, resource: Scope | None) -> Deny | None:
    """None when the act is allowed. `resource` None asks about the role alone, before a row is loaded."""
    if principal.is_sysadmin:
        return (
            None
            if action.sysadmin
            else Deny("sysadmin_governs_nothing", "Platform administrators take no part in governance.")
        )
    if action.roles is not None and not action.roles & principal.roles:
        return Deny("role_required", f"This needs {_words(action.roles)}.")
    if resource is not None and not action.own_org:
        standing = principal.standing(resource)
        if standing not in action.parties:
            return Deny("other_party", f"Only the {' or the '.join(sorted(action.parties))} may do this.")
    if not action.reads and principal.roles <= {Role.observer}:
        return Deny("observers_read_only", "Observers may read but not act.")
    return None


def require(principal: Principal, action: Action, resource: Scope | None) -> None:
    """Raise `Forbidden` unless `can()` allows. Call it with every row an act is about."""
    denied = can(principal, action, resource)
    if denied:
        raise Forbidden(denied.code, denied.message)


def _words(roles: Iterable[Role]) -> str:
    named = ", ".join(sorted(roles))
    return f"one of the roles {named}" if named else "a platform administrator"
