"""What a feature may do with its subject while another service decides it, and what it makes of the answers."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from shared.contracts.base import Event
from shared.contracts.changes import (
    MatterDecided,
    MatterRefused,
    MatterWithdrawn,
    MatterWithdrawRefused,
)
from shared.contracts.matters import (
    MatterOutcomeNotApplied,
    MatterPut,
    MatterSubjectChanged,
    MatterWithdrawAsked,
)
from shared.data.ids import uuid7
from shared.messaging.bus import RetryLater
from shared.pure.hashing import sha256_hex
from tests.conftest import StartService
from tests.support import toy_subject
from tests.support.changes import created, ok, problem
from tests.support.harness import RunningService
from tests.support.matters import OWNER, actions, make_proposals
from tests.support.postgres import PostgresServer
from tests.support.toy_subject import PROPOSALS

Row = dict[str, Any]


@pytest.fixture(scope="module")
async def service(start_service: StartService, postgres: PostgresServer) -> AsyncIterator[RunningService]:
    async def prepare(database: str) -> None:
        await make_proposals(postgres, database)

    async with start_service("sla", create_app=toy_subject.create_app, prepare=prepare) as started:
        yield started


@pytest.fixture
async def s(service: RunningService) -> AsyncIterator[RunningService]:
    """A service of proposals. Whatever came, it set no message aside."""
    await service.forget_events()
    yield service
    async with service.kernel.database.system() as session:
        assert await session.scalar(text("SELECT count(*) FROM dead_letter")) == 0


async def propose(s: RunningService, **over: str) -> Row:
    form = {"charter_id": str(s.world.charter_id), "title": "A later cut-off"} | over
    return created(await s.post(OWNER, PROPOSALS, form))


async def act(s: RunningService, proposal: Row, verb: str, **form: str) -> Row:
    return ok(await s.post(OWNER, f"{PROPOSALS}/{proposal['id']}/{verb}", form))


async def shown(s: RunningService, proposal: Row) -> Row:
    return ok(await s.get(OWNER, f"{PROPOSALS}/{proposal['id']}"))


async def answer(s: RunningService, proposal: Row, kind: type[Event], version: int, **data: Any) -> None:
    """The service of matters says something about the proposal's matter."""
    about = {
        "matter_id": proposal["matter_id"],
        "subject_kind": "agreement_modification",
        "subject_id": proposal["id"],
        "subject_number": "PRO-1",
        "title": proposal["title"],
        "asks": (),
    }
    event = kind.model_validate(about | data)
    await s.publish(event, aggregate_id=UUID(proposal["matter_id"]), version=version)


async def decided(s: RunningService, proposal: Row, version: int, **over: Any) -> str:
    """A decision on the text the proposal had when it was put, unless told otherwise; its id."""
    [put] = [event for event in await s.events(MatterPut) if str(event.subject_id) == proposal["id"]]
    return await decided_on(s, proposal, version, over.pop("subject_hash", put.subject_hash), **over)


async def decided_on(s: RunningService, proposal: Row, version: int, subject_hash: str, **over: Any) -> str:
    decision = {
        "decision_id": str(uuid7()),
        "decision_number": "DEC-FY27-0001",
        "decision_class": "agreement_modification",
        "outcome": "approved",
        "subject_hash": subject_hash,
        "body": "smb",
        "conditions": "",
        "reason": "needed",
    } | over
    await answer(s, proposal, MatterDecided, version, **decision)
    return str(decision["decision_id"])


async def test_what_is_put_names_the_text_the_impact_and_who_asks(s: RunningService) -> None:
    proposal = await propose(s)
    [put] = await s.events(MatterPut)
    assert (str(put.matter_id), str(put.subject_id)) == (proposal["matter_id"], proposal["id"])
    assert put.subject_hash == sha256_hex(b'{"title":"A later cut-off"}')
    assert (put.impact, put.severity, put.origin) == ({"agreement": "clarification"}, "moderate", "customer")
    assert (put.requester_id, put.requester_name) == (s.world.member(OWNER), "Customer Business Owner")
    [envelope] = await s.envelopes(MatterPut)
    assert (envelope["subject"], envelope["sequence"], envelope["actorrole"]) == (
        proposal["matter_id"],
        1,
        "business_owner",
    )


async def test_a_subject_waits_for_one_decision_at_a_time(s: RunningService) -> None:
    proposal = await propose(s)
    assert problem(await s.post(OWNER, f"{PROPOSALS}/{proposal['id']}/put"), 409) == "already_waiting"
    await answer(s, proposal, MatterRefused, 1, code="unknown_level", message="No such level.", pointer=None)
    again = await act(s, proposal, "put")
    assert again["matter_id"] != proposal["matter_id"]
    assert again["state"] == "awaiting_decision"


async def test_a_subject_that_one_party_cannot_see_is_put_to_no_body_of_both(s: RunningService) -> None:
    form = {"charter_id": str(s.world.charter_id), "title": "Ours", "visibility": "customer"}
    assert problem(await s.post(OWNER, PROPOSALS, form), 409) == "not_shared"
    assert await s.events(MatterPut) == []


async def test_a_change_is_said_with_the_new_text(s: RunningService) -> None:
    proposal = await propose(s)
    await act(s, proposal, "change", title="An earlier cut-off")
    [event] = await s.events(MatterSubjectChanged)
    assert (event.title, event.what_changed) == ("An earlier cut-off", "the title")
    assert event.subject_hash == sha256_hex(b'{"title":"An earlier cut-off"}')


async def test_a_change_is_kept_to_itself_while_nobody_is_asked(s: RunningService) -> None:
    settled, going = await propose(s), await propose(s)
    await decided(s, settled, 1)
    await act(s, settled, "change", title="Afterwards")
    await act(s, going, "withdraw", reason="Solved otherwise")
    await act(s, going, "change", title="On the way out")
    assert await s.events(MatterSubjectChanged) == []


async def test_a_withdrawal_is_asked_for_once(s: RunningService) -> None:
    proposal = await propose(s)
    path = f"{PROPOSALS}/{proposal['id']}/withdraw"
    await act(s, proposal, "withdraw", reason="Solved otherwise")
    assert problem(await s.post(OWNER, path, {"reason": "Please"}), 409) == "not_allowed"
    assert [event.reason for event in await s.events(MatterWithdrawAsked)] == ["Solved otherwise"]
    await answer(s, proposal, MatterWithdrawn, 2, reason="Solved otherwise")
    assert problem(await s.post(OWNER, path, {"reason": "Please"}), 409) == "nothing_to_withdraw"
    assert (await shown(s, proposal))["state"] == "withdrawn"


async def test_a_decision_is_carried_out_with_its_outcome(s: RunningService) -> None:
    proposal = await propose(s)
    decision = await decided(s, proposal, 2, outcome="deferred")
    after = await shown(s, proposal)
    assert (after["state"], after["decision_id"], after["times_decided"]) == ("deferred", decision, 1)


async def test_an_outcome_that_a_later_program_knows_reaches_the_subject(s: RunningService) -> None:
    proposal = await propose(s)
    await decided(s, proposal, 2, outcome="remanded")
    assert (await shown(s, proposal))["state"] == "remanded"


async def test_one_decision_is_carried_out_once_however_often_it_comes(s: RunningService) -> None:
    proposal = await propose(s)
    decision = await decided(s, proposal, 2)
    for version in (3, 4, 2):
        await decided(s, proposal, version, decision_id=decision)
    assert (await shown(s, proposal))["times_decided"] == 1
    assert await s.events(MatterOutcomeNotApplied) == []


async def test_another_decision_after_it_is_sent_back(s: RunningService) -> None:
    proposal = await propose(s)
    await decided(s, proposal, 2)
    second = await decided(s, proposal, 3, outcome="rejected")
    [sent_back] = await s.events(MatterOutcomeNotApplied)
    assert (str(sent_back.decision_id), sent_back.reason, sent_back.waits) == (
        second,
        "no_longer_waiting",
        False,
    )
    assert (await shown(s, proposal))["state"] == "approved"


async def test_a_decision_on_an_earlier_matter_is_not_carried_out_on_the_present_one(
    s: RunningService,
) -> None:
    first = await propose(s)
    await answer(s, first, MatterRefused, 1, code="unknown_level", message="No such level.", pointer=None)
    await act(s, first, "put")
    put, _ = await s.events(MatterPut)
    await decided_on(s, first, 2, put.subject_hash)
    [sent_back] = await s.events(MatterOutcomeNotApplied)
    assert (sent_back.reason, sent_back.waits) == ("no_longer_waiting", False)
    assert (await shown(s, first))["state"] == "awaiting_decision"


async def test_a_decision_on_a_subject_that_ended_by_itself_is_sent_back(s: RunningService) -> None:
    proposal = await propose(s)
    await act(s, proposal, "drop")
    await decided(s, proposal, 2)
    [sent_back] = await s.events(MatterOutcomeNotApplied)
    assert (sent_back.reason, sent_back.waits) == ("no_longer_waiting", False)
    after = await shown(s, proposal)
    assert (after["state"], actions(after)[-1]) == ("dropped", "matter.lapse")


async def test_a_decision_on_another_text_ends_what_is_to_be_withdrawn(s: RunningService) -> None:
    proposal = await propose(s)
    await act(s, proposal, "withdraw", reason="Solved otherwise")
    await decided(s, proposal, 2, subject_hash="0" * 64)
    [sent_back] = await s.events(MatterOutcomeNotApplied)
    assert (sent_back.reason, sent_back.waits) == ("subject_changed", False)
    assert (await shown(s, proposal))["state"] == "withdrawn"


async def test_a_decision_on_another_text_is_sent_back_with_the_text_of_today(s: RunningService) -> None:
    proposal = await propose(s)
    decision = await decided(s, proposal, 2, subject_hash="0" * 64)
    [sent_back] = await s.events(MatterOutcomeNotApplied)
    assert (str(sent_back.decision_id), sent_back.reason, sent_back.waits) == (
        decision,
        "subject_changed",
        True,
    )
    assert sent_back.subject_hash == sha256_hex(b'{"title":"A later cut-off"}')
    await decided(s, proposal, 3)
    assert (await shown(s, proposal))["times_decided"] == 1


async def test_a_text_that_changed_and_did_not_say_so_is_noticed_at_the_decision(s: RunningService) -> None:
    proposal = await propose(s)
    async with s.kernel.database.system() as session:
        await session.execute(
            text("UPDATE proposal SET text = 'tampered' WHERE id = :id"), {"id": UUID(proposal["id"])}
        )
    await decided(s, proposal, 2)
    assert [event.reason for event in await s.events(MatterOutcomeNotApplied)] == ["subject_changed"]
    assert (await shown(s, proposal))["times_decided"] == 0


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (MatterRefused, {"code": "unknown_level", "message": "No such level.", "pointer": None}),
        (MatterWithdrawn, {"reason": "the charter ended"}),
    ],
)
async def test_a_subject_that_ended_by_itself_takes_no_answer(
    s: RunningService, kind: type[Event], data: Row
) -> None:
    proposal = await propose(s)
    await act(s, proposal, "drop")
    await answer(s, proposal, kind, 2, **data)
    assert (await shown(s, proposal))["state"] == "dropped"


async def test_a_withdrawal_that_is_refused_leaves_it_waiting(s: RunningService) -> None:
    proposal = await propose(s)
    await act(s, proposal, "withdraw", reason="Solved otherwise")
    await answer(s, proposal, MatterWithdrawRefused, 2, code="already_decided", decision_id=uuid7())
    await decided(s, proposal, 3)
    after = await shown(s, proposal)
    assert after["state"] == "approved"
    assert actions(after)[-3:] == ["matter.withdraw_refused", "matter.apply", "proposal.approved"]


async def test_matters_of_other_subjects_are_not_its_own(s: RunningService) -> None:
    proposal = await propose(s)
    foreign = {**proposal, "matter_id": str(uuid7()), "id": str(uuid7())}
    await decided(s, proposal, 2, subject_kind="change_request", matter_id=foreign["matter_id"])
    assert (await shown(s, proposal))["times_decided"] == 0


async def test_an_answer_that_comes_before_the_put_is_known_waits(s: RunningService) -> None:
    proposal = await propose(s)
    with pytest.raises(RetryLater):
        await answer(s, {**proposal, "matter_id": str(uuid7())}, MatterWithdrawn, 1, reason="x")


async def test_what_a_body_decided_is_kept_byte_for_byte(s: RunningService) -> None:
    """Also when the subject's own text goes on changing, and when a later decision is sent back."""
    proposal = await propose(s)
    await decided(s, proposal, 2)
    await act(s, proposal, "change", title="Next year's")
    await decided(s, proposal, 3)
    async with s.kernel.database.system() as session:
        row = (
            await session.execute(
                text("SELECT text, text_format, content_hash, outcome FROM awaited_matter WHERE id = :id"),
                {"id": UUID(proposal["matter_id"])},
            )
        ).one()
    assert (bytes(row.text), row.text_format, row.outcome) == (b'{"title":"A later cut-off"}', 1, "approved")
    assert row.content_hash == sha256_hex(b'{"title":"A later cut-off"}')
