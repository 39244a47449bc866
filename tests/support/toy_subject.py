"""A service whose subject is decided elsewhere: proposals, of one table, in the schema of `sla`. A process of its own.

It shows what a feature does with `shared.matters`: describe its row, put it, and carry out the answers.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import uvicorn
from fastapi import FastAPI, Response
from pydantic import AwareDatetime, SecretStr
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped

from shared.contracts.base import Visibility
from shared.contracts.changes import MatterDecided, MatterRefused
from shared.contracts.governance import Role, Severity
from shared.data import directory
from shared.data.history import Act, record, timeline
from shared.data.session import TYPE_MAP, Governed, Session, load, load_for_update
from shared.data.tables import new_metadata
from shared.matters.subjects import Described, Question, Subject, answers
from shared.messaging.bus import Bus
from shared.messaging.kafka.bus import KafkaBus
from shared.messaging.pglog.bus import PgLogBus
from shared.pure.canonical import canonical_bytes
from shared.runtime.clock import MovableClock, Now
from shared.runtime.kernel import ServiceInfo
from shared.runtime.settings import Issuer, KernelSettings, settings_config
from shared.web.app import new_app
from shared.web.auth import allow
from shared.web.authz import BOTH, SYSTEM, Action, Principal, require
from shared.web.requests import tagged
from shared.web.route import new_router
from shared.web.schemas import In, Out, Text
from tests.support.faults.actors import become

WRITE = Action("proposal.write", parties=BOTH, roles={Role.business_owner})
READ = Action("proposal.read", parties=BOTH)
PROPOSALS = "/sla/v1/proposals"
TABLE = """
CREATE TABLE proposal (
  id uuid PRIMARY KEY, version integer NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
  charter_id uuid NOT NULL, customer_org_id uuid NOT NULL, provider_org_id uuid NOT NULL, visibility text NOT NULL,
  kind text NOT NULL, title text NOT NULL, text bytea NOT NULL, level text NOT NULL, state text NOT NULL,
  matter_id uuid, decision_id uuid, times_decided integer NOT NULL, reason text NOT NULL)
"""


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPE_MAP


class Proposal(Governed, Base):
    """`times_decided` counts what was carried out: nothing defends it but the protocol."""

    __tablename__ = "proposal"
    kind: Mapped[str]
    title: Mapped[str]
    text: Mapped[bytes]
    level: Mapped[str]
    state: Mapped[str]
    matter_id: Mapped[UUID | None]
    decision_id: Mapped[UUID | None]
    times_decided: Mapped[int]
    reason: Mapped[str]


def describe(row: Proposal) -> Described:
    return Described(
        number=f"PRO-{row.id.hex[-6:]}",
        title=row.title,
        text=row.text,
        text_format=1,
        impact={"agreement": row.level},
        severity=Severity.moderate,
    )


async def apply(session: AsyncSession, row: Proposal, event: MatterDecided, now: datetime) -> None:
    row.state, row.decision_id, row.reason = event.outcome, event.decision_id, event.reason
    row.times_decided += 1
    await _settled(session, row, now)


async def refused(session: AsyncSession, row: Proposal, event: MatterRefused, now: datetime) -> None:
    row.state, row.reason = "refused", event.code
    await _settled(session, row, now)


async def withdrawn(session: AsyncSession, row: Proposal, reason: str, now: datetime) -> None:
    row.state, row.reason = "withdrawn", reason
    await _settled(session, row, now)


async def _settled(session: AsyncSession, row: Proposal, now: datetime) -> None:
    await record(session, row, Act(f"proposal.{row.state}"), by=SYSTEM, now=now)


def _subject(kind: str) -> Subject[Proposal]:
    return Subject(
        kind=kind,
        model=Proposal,
        describe=describe,
        waits=lambda row: row.state == "awaiting_decision",
        apply=apply,
        refused=refused,
        withdrawn=withdrawn,
    )


SUBJECTS = {kind: _subject(kind) for kind in ("agreement_modification", "rumour")}


class ProposalCreate(In):
    charter_id: UUID
    title: Text
    level: Text = "clarification"
    kind: Text = "agreement_modification"

    visibility: Visibility = "shared"


class ProposalChange(In):
    title: Text


class ProposalWithdraw(In):
    reason: Text


class ClockSet(In):
    to: AwareDatetime


class Line(Out):
    action: str


class ProposalOut(Out):
    id: UUID
    version: int
    title: str
    state: str
    matter_id: UUID | None
    decision_id: UUID | None
    times_decided: int
    reason: str
    timeline: list[Line]


router = new_router("proposals", prefix="/sla/v1")
Writer = Annotated[Principal, allow(WRITE)]


@router.post("/proposals", status_code=201, response_model=ProposalOut)
async def propose(
    form: ProposalCreate, response: Response, session: Session, now: Now, caller: Writer
) -> Proposal:
    charter = await directory.governance(session, form.charter_id)
    require(caller, WRITE, charter.scope)
    row = Proposal(
        **charter.scope.columns() | form.model_dump(),
        text=_text(form.title),
        state="awaiting_decision",
        times_decided=0,
        reason="",
    )
    session.add(row)
    await record(session, row, Act("proposal.make"), by=caller, now=now)
    await _put(session, row, caller, now)
    return await _shown(session, row, response)


@router.post("/proposals/{proposal_id}/put", response_model=ProposalOut)
async def put_proposal(
    proposal_id: UUID, response: Response, session: Session, now: Now, caller: Writer
) -> Proposal:
    """Once more, after nobody would decide it."""
    row = await load_for_update(session, Proposal, proposal_id, None)
    row.state = "awaiting_decision"
    await _put(session, row, caller, now)
    return await _shown(session, row, response)


async def _put(session: AsyncSession, row: Proposal, caller: Principal, now: datetime) -> None:
    party = caller.party(row.scope)
    assert party is not None  # observers may not write
    question = Question(
        decision_class="agreement_modification", question=f"Shall we agree to {row.title}?", origin=party
    )
    row.matter_id = await SUBJECTS[row.kind].put(session, row, question, by=caller, now=now)


@router.get("/proposals/{proposal_id}", response_model=ProposalOut)
async def get_proposal(
    proposal_id: UUID, response: Response, session: Session, caller: Annotated[Principal, allow(READ)]
) -> Proposal:
    return await _shown(session, await load(session, Proposal, proposal_id), response)


@router.post("/proposals/{proposal_id}/change", response_model=ProposalOut)
async def change_proposal(
    proposal_id: UUID, form: ProposalChange, response: Response, session: Session, now: Now, caller: Writer
) -> Proposal:
    row = await load_for_update(session, Proposal, proposal_id, None)
    row.title, row.text = form.title, _text(form.title)
    await record(session, row, Act("proposal.change"), by=caller, now=now)
    await SUBJECTS[row.kind].changed(session, row, "the title", by=caller, now=now)
    return await _shown(session, row, response)


@router.post("/proposals/{proposal_id}/withdraw", response_model=ProposalOut)
async def withdraw_proposal(
    proposal_id: UUID, form: ProposalWithdraw, response: Response, session: Session, now: Now, caller: Writer
) -> Proposal:
    row = await load_for_update(session, Proposal, proposal_id, None)
    await SUBJECTS[row.kind].withdraw(session, row, form.reason, by=caller, now=now)
    return await _shown(session, row, response)


@router.post("/proposals/{proposal_id}/drop", response_model=ProposalOut)
async def drop_proposal(
    proposal_id: UUID, response: Response, session: Session, now: Now, caller: Writer
) -> Proposal:
    """It ends by itself, and does not say so to whoever decides."""
    row = await load_for_update(session, Proposal, proposal_id, None)
    row.state = "dropped"
    await record(session, row, Act("proposal.drop"), by=caller, now=now)
    return await _shown(session, row, response)


def _text(title: str) -> bytes:
    return canonical_bytes({"title": title})


async def _shown(session: AsyncSession, row: Proposal, response: Response) -> Proposal:
    ids = [row.id, row.matter_id] if row.matter_id else [row.id]
    row.timeline = await timeline(session, *ids)
    return tagged(response, row)


SERVICE = ServiceInfo("sla", "Toy", "A toy", Base.metadata, (("proposals", "Proposals"),))


class Settings(KernelSettings):
    model_config = settings_config("SLA")


@dataclass(frozen=True)
class Setup:
    """Everything the process needs; it travels there."""

    database_url: str
    bus: str
    """`pglog` or `kafka`"""
    bus_address: str
    issuers: tuple[Issuer, ...]
    log: Path
    now: datetime


def create_app(settings: KernelSettings, bus: Bus, clock: MovableClock) -> FastAPI:
    app = new_app(
        SERVICE,
        settings,
        routers=(router,),
        projections=(*directory.PROJECTIONS, answers(*SUBJECTS.values())),
        bus=bus,
        clock=clock,
    )

    @app.put("/clock", status_code=204)
    async def set_clock(form: ClockSet) -> None:
        clock.set(form.to)

    return app


def serve(setup: Setup, port: int) -> None:
    """The process."""
    become("toy", setup.log)
    settings = Settings(
        environment="test",
        database_url=SecretStr(setup.database_url),
        bus="pglog",
        bus_database_url=SecretStr(setup.bus_address),
        issuers=setup.issuers,
        log_level="warning",
    )
    kafka = setup.bus == "kafka"
    bus = (
        KafkaBus(setup.bus_address, instance_id="toy", session_timeout_ms=6000)
        if kafka
        else PgLogBus(setup.bus_address)
    )
    app = create_app(settings, bus, MovableClock(setup.now))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
