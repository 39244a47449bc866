"""Who exists and which charter governs: every service's own copy, kept from the charter service's events.

The charter service writes the same tables directly; elsewhere the `PROJECTIONS` keep them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Received, Scope
from shared.contracts.charter import CharterActivated, CharterDrafted, MemberChanged, OrganizationRegistered
from shared.contracts.governance import ExecutableCharter
from shared.data.direct import Direct
from shared.data.numbering import number_of, year_of
from shared.messaging.projections import Projection
from shared.pure.canonical import canonical_bytes
from shared.pure.refusal import Missing, NotYet

CONTENT: TypeAdapter[ExecutableCharter] = TypeAdapter(ExecutableCharter)
_READERS: Mapping[int, Callable[[bytes], ExecutableCharter]] = {1: CONTENT.validate_json}


def read_text(text: bytes, text_format: int) -> ExecutableCharter:
    """What a charter's text says, for execution. Fields it has not, because it is older than they are, have defaults.

    What was signed is `text` itself: nothing is ever written back from what is read here.
    `NotYet` for a format, or a word, of a later program than this one: an event waits for the upgrade in its place.
    """
    if text_format not in _READERS:
        raise _written_later(f"The charter is written in format {text_format}")
    try:
        return _READERS[text_format](text)
    except ValidationError as error:
        # The bytes are those that were signed, so it is not they that are wrong.
        places = ", ".join(".".join(map(str, each["loc"])) for each in error.errors()[:3])
        raise _written_later(f"The charter says what this program does not know, at {places}") from error


def _written_later(what: str) -> NotYet:
    return NotYet("charter_of_a_later_program", f"{what}. Upgrade this service to read it.")


@dataclass(frozen=True)
class Governance:
    """A ratified charter version, as every decision under it reads it."""

    charter_id: UUID
    charter_version: int
    number: str
    content_hash: str
    customer_org_id: UUID
    provider_org_id: UUID
    content: ExecutableCharter

    @property
    def scope(self) -> Scope:
        return Scope(
            charter_id=self.charter_id,
            customer_org_id=self.customer_org_id,
            provider_org_id=self.provider_org_id,
        )


_GOVERNANCE = text(
    """
    SELECT charter_id, charter_version, number, content_hash, customer_org_id, provider_org_id
      FROM governed_charter
     WHERE charter_id = :charter AND (CAST(:version AS integer) IS NULL OR charter_version = :version)
     ORDER BY charter_version DESC LIMIT 1
    """
)
_NUMBERED_GOVERNANCE = """
    WITH charter AS MATERIALIZED (
      SELECT charter_id, charter_version, number, content_hash, customer_org_id, provider_org_id
        FROM governed_charter WHERE charter_id = $1 ORDER BY charter_version DESC LIMIT 1),
    counted AS (
      INSERT INTO number_series (charter_id, prefix, fiscal_year, last) SELECT charter_id, $2, $3, 1 FROM charter
      ON CONFLICT (charter_id, prefix, fiscal_year) DO UPDATE SET last = number_series.last + 1
      RETURNING last)
    SELECT charter.*, counted.last FROM charter, counted
"""
_CONTENT_SQL = "SELECT text, text_format FROM governed_charter WHERE charter_id = {} AND charter_version = {}"
_CONTENT = text(_CONTENT_SQL.format(":charter", ":version"))
_CONTENT_DIRECT = _CONTENT_SQL.format("$1", "$2")
_KEPT_CONTENTS = 256
_contents: dict[str, ExecutableCharter] = {}


async def governance(session: AsyncSession, charter_id: UUID, version: int | None = None) -> Governance:
    """The charter version in force (or the pinned one); `Missing` when none is, or it is not the caller's."""
    row = (await session.execute(_GOVERNANCE, {"charter": charter_id, "version": version})).one_or_none()
    if row is None:
        raise Missing("charter in force")
    return Governance(
        charter_id=row.charter_id,
        charter_version=row.charter_version,
        number=row.number,
        content_hash=row.content_hash,
        customer_org_id=row.customer_org_id,
        provider_org_id=row.provider_org_id,
        content=await _content(session, row.charter_id, row.charter_version, row.content_hash),
    )


async def numbered_governance(
    transaction: Direct, charter_id: UUID, prefix: str, now: datetime
) -> tuple[Governance, str]:
    """The charter in force, and the next number of a series under it, in one round trip.

    A charter the caller may not see takes no number. The series is locked until the transaction ends.
    """
    year = year_of(now)
    row = await transaction.one(_NUMBERED_GOVERNANCE, charter_id, prefix, year)
    if row is None:
        raise Missing("charter in force")
    about = dict(row)
    last = about.pop("last")
    if row["content_hash"] not in _contents:
        text_row = await transaction.one(_CONTENT_DIRECT, charter_id, row["charter_version"])
        assert text_row is not None
        _keep(row["content_hash"], text_row["text"], text_row["text_format"])
    return Governance(**about, content=_contents[row["content_hash"]]), number_of(prefix, year, last)


async def _content(
    session: AsyncSession, charter_id: UUID, version: int, content_hash: str
) -> ExecutableCharter:
    """The charter's text, read once per process: a ratified text never changes under its hash."""
    if content_hash not in _contents:
        row = (await session.execute(_CONTENT, {"charter": charter_id, "version": version})).one()
        _keep(content_hash, row.text, row.text_format)
    return _contents[content_hash]


def _keep(content_hash: str, text: bytes, text_format: int) -> None:
    if len(_contents) >= _KEPT_CONTENTS:
        del _contents[next(iter(_contents))]
    _contents[content_hash] = read_text(text, text_format)


@dataclass(frozen=True)
class Person:
    """A member as others see it."""

    member_id: UUID
    org_id: UUID
    display_name: str
    roles: tuple[str, ...]
    active: bool


async def person(session: AsyncSession, member_id: UUID) -> Person | None:
    """The member, when the caller's organization knows it."""
    row = (
        await session.execute(
            text("SELECT id, org_id, display_name, roles, active FROM member WHERE id = :id"),
            {"id": member_id},
        )
    ).one_or_none()
    return Person(row.id, row.org_id, row.display_name, tuple(row.roles), row.active) if row else None


_UPSERT_ORGANIZATION = text(
    """
    INSERT INTO organization (id, version, name, aid, created_at, updated_at)
    VALUES (:id, :version, :name, :aid, :now, :now)
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, name = excluded.name, aid = excluded.aid,
      updated_at = excluded.updated_at
    WHERE organization.version < excluded.version
    """
)
# A person's memberships are aggregates of their own, so the end of the old one may arrive after the new one began.
# The newest one counts (ids are UUIDv7), in whichever order their events arrive.
_END_EARLIER = text(
    """
    UPDATE member SET active = false, updated_at = :now
     WHERE issuer = :issuer AND subject = :subject AND active AND id < :id AND :active
    """
)
_UPSERT_MEMBER = text(
    """
    INSERT INTO member (id, version, org_id, issuer, subject, display_name, roles, active, created_at, updated_at)
    SELECT :id, :version, :org, :issuer, :subject, :name, :roles,
           :active AND NOT EXISTS (SELECT FROM member WHERE issuer = :issuer AND subject = :subject AND id > :id),
           :now, :now
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, display_name = excluded.display_name,
      roles = excluded.roles, active = excluded.active, updated_at = excluded.updated_at
    WHERE member.version < excluded.version
    """
)
_NAME_PARTIES = text(
    """
    INSERT INTO charter_party (charter_id, org_id, side, joined) VALUES (:charter, :org, :side, false)
    ON CONFLICT DO NOTHING
    """
)
_JOIN = text(
    "UPDATE charter_party SET joined = true WHERE charter_id = :charter AND org_id = ANY(:orgs) AND NOT joined"
)
_UPSERT_CHARTER = text(
    """
    INSERT INTO governed_charter (charter_id, charter_version, number, content_hash, customer_org_id,
                                  provider_org_id, effective_date, text, text_format)
    VALUES (:charter, :version, :number, :hash, :customer, :provider, :effective, :text, :format)
    ON CONFLICT DO NOTHING
    """
)


async def keep_organization(
    session: AsyncSession, event: OrganizationRegistered, version: int, now: datetime
) -> None:
    await session.execute(
        _UPSERT_ORGANIZATION,
        {"id": event.org_id, "version": version, "name": event.name, "aid": event.aid, "now": now},
    )


async def keep_member(session: AsyncSession, event: MemberChanged, version: int, now: datetime) -> None:
    values = {
        "id": event.member_id,
        "version": version,
        "org": event.org_id,
        "issuer": event.issuer,
        "subject": event.subject,
        "name": event.display_name,
        "roles": [str(role) for role in event.roles],
        "active": event.active,
        "now": now,
    }
    await session.execute(_END_EARLIER, values)
    await session.execute(_UPSERT_MEMBER, values)


async def keep_parties(session: AsyncSession, named: CharterDrafted | CharterActivated) -> None:
    """Remember who stands on which side of a charter; observers see its shared rows."""
    sides = [(named.customer_org_id, "customer"), (named.provider_org_id, "provider")]
    sides += [(org, "observer") for org in named.observer_org_ids]
    rows = [{"charter": named.charter_id, "org": org, "side": side} for org, side in sides]
    await session.execute(_NAME_PARTIES, rows)


async def join_charter(session: AsyncSession, charter_id: UUID, *orgs: UUID) -> None:
    """These organizations act on a charter they are named in: from now on the others see their people."""
    await session.execute(_JOIN, {"charter": charter_id, "orgs": list(orgs)})


async def keep_charter(session: AsyncSession, event: CharterActivated) -> None:
    """Remember a ratified version for good: open items keep the version they entered with."""
    await session.execute(
        _UPSERT_CHARTER,
        {
            "charter": event.charter_id,
            "version": event.charter_version,
            "number": event.number,
            "hash": event.content_hash,
            "customer": event.customer_org_id,
            "provider": event.provider_org_id,
            "effective": event.effective_date,
            # RFC 8785 gives one text per object, so these are the bytes that were signed; the table checks it.
            "text": canonical_bytes(event.content),
            "format": event.text_format,
        },
    )


async def keep_activated(session: AsyncSession, event: CharterActivated) -> None:
    """The charter and its parties; observers never act on it, so their people stay their own."""
    await keep_parties(session, event)
    await join_charter(session, event.charter_id, event.customer_org_id, event.provider_org_id)
    await keep_charter(session, event)


async def _on_organization(
    session: AsyncSession, received: Received[OrganizationRegistered], now: datetime
) -> None:
    await keep_organization(session, received.event, received.envelope.sequence, now)


async def _on_member(session: AsyncSession, received: Received[MemberChanged], now: datetime) -> None:
    await keep_member(session, received.event, received.envelope.sequence, now)


async def _on_drafted(session: AsyncSession, received: Received[CharterDrafted], now: datetime) -> None:
    await keep_parties(session, received.event)


async def _on_activated(session: AsyncSession, received: Received[CharterActivated], now: datetime) -> None:
    await keep_activated(session, received.event)


PROJECTIONS = (
    Projection("organizations", {OrganizationRegistered: _on_organization}, tables=("organization",)),
    Projection("members", {MemberChanged: _on_member}, tables=("member",)),
    Projection(
        "charters",
        {CharterDrafted: _on_drafted, CharterActivated: _on_activated},
        tables=("charter_party", "governed_charter"),
    ),
)
