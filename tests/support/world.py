"""The small world every API test starts from: two parties, an observer, a stranger, their people."""

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from concordat.embedded.issuer import ISSUER
from services.charter.charters.domain.model_charter import model_charter
from shared.contracts.base import Scope
from shared.contracts.charter import CharterActivated, MemberChanged, OrganizationRegistered
from shared.contracts.governance import ExecutableCharter, Role
from shared.data import directory
from shared.data.ids import uuid7
from shared.pure.canonical import canonical_json, content_hash

SYSADMIN = "sysadmin"
START = datetime(2026, 11, 10, 15, 0, tzinfo=UTC)  # Tuesday, 10:00 in Washington
ORGANIZATIONS = {
    "customer": ("Department of Example Services", "990"),
    "provider": ("Federal Shared Services Center", "991"),
    "observer": ("Quality Service Management Office", None),
    "other": ("Unrelated Agency", "992"),
}
ROLES = ("business_owner", "om_team", "executive_sponsor", "isso", "org_admin", "secretariat")


def member_keys() -> list[tuple[str, str]]:
    """(organization, role) of everybody: `customer.om_team`, ..., `observer.observer`."""
    keys = [(org, role) for org in ("customer", "provider", "other") for role in ROLES]
    return [*keys, ("observer", "observer"), ("observer", "om_team")]


@dataclass
class World:
    """Ids of everything that was seeded. Members are named `side.role`, which is also their subject."""

    orgs: dict[str, UUID] = field(default_factory=lambda: {key: uuid7() for key in ORGANIZATIONS})
    members: dict[str, UUID] = field(default_factory=lambda: {f"{o}.{r}": uuid7() for o, r in member_keys()})
    charter_id: UUID = field(default_factory=uuid7)
    charter: ExecutableCharter = field(
        default_factory=lambda: model_charter(
            title="Charter of DES and FSSC",
            services=("payroll", "accounts_payable", "service_desk", "platform"),
            effective=date(2026, 10, 1),
            annual_order_value=Decimal(4800000),
        )
    )

    def member(self, key: str) -> UUID:
        return self.members[key]

    @property
    def scope(self) -> Scope:
        return Scope(
            charter_id=self.charter_id,
            customer_org_id=self.orgs["customer"],
            provider_org_id=self.orgs["provider"],
        )

    def activation(self, version: int = 1) -> CharterActivated:
        """The event that told every service about the charter."""
        return CharterActivated(
            charter_id=self.charter_id,
            number="CHA-FY27-0001",
            charter_version=version,
            content_hash=content_hash(self.charter),
            customer_org_id=self.orgs["customer"],
            provider_org_id=self.orgs["provider"],
            observer_org_ids=(self.orgs["observer"],),
            effective_date=self.charter.effective_date,
            next_review_due=self.charter.next_review_due,
            content=json.loads(canonical_json(self.charter)),
        )

    async def seed(self, session: AsyncSession, *, with_charter: bool = True) -> None:
        """Write the world into a service's directory, as events from the charter service would."""
        for key, (name, aid) in ORGANIZATIONS.items():
            organization = OrganizationRegistered(org_id=self.orgs[key], name=name, aid=aid)
            await directory.keep_organization(session, organization, 1, START)
        for org, role in member_keys():
            member = MemberChanged(
                member_id=self.members[f"{org}.{role}"],
                org_id=self.orgs[org],
                issuer=ISSUER,
                subject=f"{org}.{role}",
                display_name=f"{org} {role}".replace("_", " ").title(),
                roles=(Role(role),),
                active=True,
            )
            await directory.keep_member(session, member, 1, START)
        if with_charter:
            await directory.keep_activated(session, self.activation())
