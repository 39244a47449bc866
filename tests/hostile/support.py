"""The hostile world: the usual one, and beside it two neighbours, a stranger, an onlooker and a removed member.

Each neighbour shares one party with the victim's charter: `customer2` has the same provider, `provider2` the same
customer. Whoever separates organizations only by "knows each other" leaks to exactly them.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import httpx
from sqlalchemy import text

from concordat.embedded.issuer import ISSUER
from shared.contracts.base import Scope
from shared.contracts.charter import MemberChanged, OrganizationRegistered
from shared.contracts.governance import Role
from shared.data import directory
from shared.data.ids import uuid7
from shared.web.authz import Action
from shared.web.problems import MEDIA_TYPE
from tests.conftest import StartService
from tests.hostile.routes import Route, routes_of
from tests.support.harness import RunningService
from tests.support.world import ROLES, START

NEIGHBOURS = {
    "customer2": ("Department of Second Examples", "993"),
    "provider2": ("Second Service Provider", "994"),
    "observer2": ("Second Oversight Office", None),
}
FORMER = "former"
ROLE_ORDER = ("om_team", "business_owner", "org_admin", "executive_sponsor", "isso", "secretariat")
LIMITS = {"notifier": {"allowed_networks": ("127.0.0.0/8",), "allowed_ports": ("1-65535",)}}
FIELDS_OF_A_PROBLEM = {"type", "title", "status", "detail", "code", "instance", "request_id", "errors"}


@dataclass
class Parties:
    """The two sides of one charter. `word` stands in every title of theirs and nowhere else."""

    charter_id: UUID
    customer: str
    provider: str
    observer: str
    word: str


@dataclass
class Stage:
    """A running service with the victim's charter and the neighbours' two."""

    s: RunningService
    victim: Parties
    second: Parties
    third: Parties
    made: dict[tuple[str, str], str] = field(default_factory=dict)
    tokens: dict[str, dict[str, str]] = field(default_factory=dict)

    def org(self, key: str) -> UUID:
        return self.s.world.orgs[key]

    def scope(self, parties: Parties) -> Scope:
        return Scope(
            charter_id=parties.charter_id,
            customer_org_id=self.org(parties.customer),
            provider_org_id=self.org(parties.provider),
        )

    def headers(self, member: str) -> dict[str, str]:
        """A token of the member: signing one for each of thousands of requests takes its time."""
        if member not in self.tokens:
            self.tokens[member] = self.s.headers(member)
        return dict(self.tokens[member])

    async def call(
        self, member: str, method: str, path: str, body: object = None, version: int | None = None
    ) -> dict[str, Any]:
        """A step that must succeed."""
        headers = self.headers(member) | ({"If-Match": f'"{version}"'} if version is not None else {})
        answer = await self.s.client.request(method, path, headers=headers, json={} if body is None else body)
        assert answer.is_success, f"{member} {method} {path}: {answer.text}"
        return dict(answer.json())


def caller(action: Action, parties: Parties) -> str:
    """Somebody whom the policy lets through: of the customer where it may be, with the first role that may."""
    if action.sysadmin and action.roles is not None and not action.roles:
        return "sysadmin"
    side = parties.customer if "customer" in action.parties else parties.provider
    return stranger(action, side)


def stranger(action: Action, organization: str) -> str:
    """A member of that organization with a role that may; only then it is the row that says no."""
    may = [role for role in ROLE_ORDER if action.roles is None or Role(role) in action.roles]
    return f"{organization}.{may[0] if may else ROLE_ORDER[0]}"


@asynccontextmanager
async def staged(start_service: StartService, service: str) -> AsyncIterator[Stage]:
    """The service with everybody in it. The charter service starts without charters: they are drafted there."""
    known = service != "charter"
    async with start_service(service, with_charter=known, **LIMITS.get(service, {})) as s:
        s.world.orgs |= {key: uuid7() for key in NEIGHBOURS}
        stage = Stage(
            s,
            Parties(s.world.charter_id, "customer", "provider", "observer", "Sesame"),
            Parties(uuid7(), "customer2", "provider", "observer2", "Neighbour"),
            Parties(uuid7(), "customer", "provider2", "observer2", "Cousin"),
        )
        await _people(stage)
        if known:
            await _charters(stage)
        yield stage


async def _people(stage: Stage) -> None:
    async with stage.s.kernel.database.system() as session:
        for key, (name, aid) in NEIGHBOURS.items():
            registered = OrganizationRegistered(org_id=stage.org(key), name=name, aid=aid)
            await directory.keep_organization(session, registered, 1, START)
            for role in (*ROLES, "observer"):
                await directory.keep_member(session, _member(stage, key, role, (Role(role),)), 1, START)
        former = replace_active(_member(stage, "customer", FORMER, tuple(Role)))
        await directory.keep_member(session, former, 1, START)


def _member(stage: Stage, org: str, name: str, roles: tuple[Role, ...]) -> MemberChanged:
    return MemberChanged(
        member_id=uuid7(),
        org_id=stage.org(org),
        issuer=ISSUER,
        subject=f"{org}.{name}",
        display_name=f"{org} {name}",
        roles=roles,
        active=True,
    )


def replace_active(event: MemberChanged) -> MemberChanged:
    return event.model_copy(update={"active": False})


async def _charters(stage: Stage) -> None:
    async with stage.s.kernel.database.system() as session:
        for number, parties in enumerate((stage.second, stage.third), 2):
            event = stage.s.world.activation().model_copy(
                update={
                    "charter_id": parties.charter_id,
                    "number": f"CHA-FY27-{number:04}",
                    "customer_org_id": stage.org(parties.customer),
                    "provider_org_id": stage.org(parties.provider),
                    "observer_org_ids": (stage.org(parties.observer),),
                }
            )
            await directory.keep_activated(session, event)


class Made(NamedTuple):
    """What a request needs besides its caller; `body` None: it has none."""

    ids: Mapping[str, str] = MappingProxyType({})
    body: Any = None
    query: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Ready:
    """A request that works: who sends what where. `body` None: the route takes none."""

    route: Route
    member: str
    ids: Mapping[str, str]
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.route.at(self.ids)

    def by(self, member: str) -> "Ready":
        return replace(self, member=member)

    def saying(self, body: object) -> "Ready":
        return replace(self, body=body)


async def version_of(stage: Stage, ready: Ready, reader: str | None = None) -> str:
    """The ETag of what the request changes: of the nearest resource above it that can be read."""
    readable = {route.path: route for route in routes_of(ready.route.service) if route.method == "GET"}
    segments = ready.route.path.split("/")
    for end in range(len(segments), 3, -1):
        above = readable.get("/".join(segments[:end]))
        if above is not None and above.ids():
            answer = await stage.s.get(reader or ready.member, above.at(ready.ids))
            return str(answer.headers.get("ETag", '"1"'))
    return '"1"'


def raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as they go over the wire, in Latin-1 as servers read them; no client library would write some."""
    return [(name.encode(), _octets(value)) for name, value in headers.items()]


def _octets(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")


async def send(
    stage: Stage,
    ready: Ready,
    *,
    etag: str | None = None,
    headers: Mapping[str, str] | None = None,
    content: bytes | AsyncIterator[bytes] | None = None,
    path: str | None = None,
    query: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send a request that works, or one that differs from it in what is given; `etag` saves looking it up."""
    sent = stage.headers(ready.member)
    if ready.route.wants_version:
        sent["If-Match"] = etag or await version_of(stage, ready)
    if content is None and ready.body is not None:
        content = json.dumps(ready.body).encode()
    if content is not None:
        sent["Content-Type"] = "application/json"
    return await stage.s.client.request(
        ready.route.method,
        path or ready.path,
        headers=raw(sent | dict(headers or {})),
        content=content,
        params=(ready.query if query is None else query) or None,
    )


def is_problem(answer: httpx.Response) -> bool:
    """Whether the answer is a whole RFC 9457 document that says the same status."""
    if answer.headers.get("content-type") != MEDIA_TYPE:
        return False
    body = answer.json()
    return bool(body.keys() == FIELDS_OF_A_PROBLEM and body["status"] == answer.status_code)


def refused(answer: httpx.Response) -> bool:
    """Whether the client was told what is wrong with its request."""
    return 400 <= answer.status_code < 500 and is_problem(answer)


async def tables(s: RunningService) -> list[str]:
    """Every table of the service's schema."""
    async with s.kernel.database.system() as session:
        names = await session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename")
        )
        return list(names)


async def ledger(s: RunningService) -> dict[str, int]:
    """How many rows every table has: what was refused must leave it as it was."""
    names = await tables(s)
    counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in names)
    async with s.kernel.database.system() as session:
        row = (await session.execute(text(f"SELECT {counts}"))).one()
    return dict(zip(names, row, strict=True))
