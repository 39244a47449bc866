"""A subject in another process puts a matter by event and learns the decision, whatever crosses on the way, on both buses."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared.contracts.changes import (
    MatterDecided,
    MatterOpened,
    MatterReassigned,
    MatterStale,
    MatterWithdrawRefused,
)
from shared.contracts.matters import MatterOutcomeNotApplied, MatterPut, MatterSubjectChanged
from shared.pure.hashing import sha256_hex
from tests.support.matters import VOTERS, Crossing, actions, crossing
from tests.support.postgres import PostgresServer

BUSES = ("pglog", pytest.param("kafka", marks=pytest.mark.kafka))
DAY = timedelta(days=1)


@pytest.fixture(scope="module", params=BUSES)
async def both(
    request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Crossing]:
    async with crossing(postgres, tmp_path_factory.mktemp("crossing"), request.param) as made:
        yield made


@pytest.fixture
async def c(both: Crossing) -> AsyncIterator[Crossing]:
    """Both services up. Whatever crossed, neither of them set a message aside."""
    yield both
    if both.changes is None or not both.changes.state.kernel.settings.background:
        await both.changes_up()
    for service in ("changes", "sla"):
        assert await both.fetch(f"SELECT event_type, error FROM {service}.dead_letter") == []


async def test_what_is_put_is_decided_and_carried_out_once(c: Crossing) -> None:
    proposal = await c.propose()
    assert (proposal["state"], actions(proposal)) == ("awaiting_decision", ["proposal.make", "matter.put"])
    matter = await c.opened(proposal)
    assert (matter["subject_id"], matter["subject_kind"], matter["body"]) == (
        proposal["id"],
        "agreement_modification",
        "smb",
    )
    decided = await c.decide(proposal)
    after = await c.proposal_in(proposal, "approved")
    assert (after["decision_id"], after["times_decided"]) == (decided["decision_id"], 1)
    assert actions(after) == ["proposal.make", "matter.put", "matter.apply", "proposal.approved"]


async def test_the_decision_is_on_bytes_that_the_subjects_service_keeps(c: Crossing) -> None:
    proposal = await c.propose(title="Bytes that stay")
    await c.opened(proposal)
    await c.decide(proposal)
    await c.proposal_in(proposal, "approved")
    [decision] = await c.published("changes", MatterDecided, proposal)
    [kept] = await c.fetch(
        "SELECT text, content_hash FROM sla.awaited_matter WHERE id::text = $1", proposal["matter_id"]
    )
    assert sha256_hex(kept["text"]) == kept["content_hash"] == decision["data"]["subject_hash"]


async def test_put_twice_is_put_once(c: Crossing) -> None:
    proposal = await c.propose()
    await c.opened(proposal)
    [put] = await c.published("sla", MatterPut, proposal)
    await c.say_again("changes", MatterPut, put)
    assert len(await c.published("changes", MatterOpened, proposal)) == 1
    assert (await c.matter(proposal))["state"] == "open"


@pytest.mark.parametrize(
    ("over", "code"), [({"level": "whimsical"}, "unknown_level"), ({"kind": "rumour"}, "unknown_kind")]
)
async def test_a_put_that_no_body_can_take_is_refused(c: Crossing, over: dict[str, str], code: str) -> None:
    proposal = await c.propose(**over)
    after = await c.proposal_in(proposal, "refused")
    assert (after["reason"], after["times_decided"]) == (code, 0)
    assert (await c.matter(proposal))["state"] == "refused"


async def test_a_subject_that_changes_while_it_is_voted_on_is_decided_on_its_new_text(c: Crossing) -> None:
    proposal = await c.propose()
    await c.opened(proposal)
    await c.vote(proposal, VOTERS[0])
    await c.act(proposal, "change", title="An earlier cut-off")
    matter = await c.matter_in(proposal, "open", title="An earlier cut-off")
    assert [v["status"] for v in matter["votes"]] == ["void"]
    await c.decide(proposal)
    after = await c.proposal_in(proposal, "approved")
    assert (after["times_decided"], after["decision_id"]) == (1, (await c.matter(proposal))["decision_id"])


async def test_a_decision_that_crosses_a_change_of_the_text_falls_and_is_taken_anew(c: Crossing) -> None:
    proposal = await c.propose()
    await c.opened(proposal)
    await c.changes_up(on_bus=False)
    await c.act(proposal, "change", title="An earlier cut-off")
    first = await c.decide(proposal)
    await c.changes_up()
    await c.did(proposal, "matter.send_back")
    matter = await c.matter_in(proposal, "open", title="An earlier cut-off", decision_id=None)
    [refusal] = await c.published("sla", MatterOutcomeNotApplied, proposal)
    assert (refusal["data"]["reason"], refusal["data"]["waits"]) == ("subject_changed", True)
    [stale] = await c.published("changes", MatterStale, proposal)
    assert stale["data"]["decision_id"] == first["decision_id"] == refusal["data"]["decision_id"]
    assert [v["status"] for v in matter["votes"]] == ["counted", "counted"]
    assert (await c.proposal(proposal))["state"] == "awaiting_decision"
    second = await c.decide(proposal, "reject")
    after = await c.proposal_in(proposal, "rejected")
    assert (after["times_decided"], after["decision_id"]) == (1, second["decision_id"])
    assert second["decision_id"] != first["decision_id"]


async def test_withdrawn_in_time(c: Crossing) -> None:
    proposal = await c.propose()
    await c.opened(proposal)
    asked = await c.act(proposal, "withdraw", reason="Solved otherwise")
    assert asked["state"] == "awaiting_decision"
    after = await c.proposal_in(proposal, "withdrawn")
    assert (after["reason"], after["times_decided"]) == ("Solved otherwise", 0)
    assert (await c.matter(proposal))["state"] == "withdrawn"


async def test_withdrawn_too_late_the_decision_counts(c: Crossing) -> None:
    proposal = await c.propose()
    await c.opened(proposal)
    await c.changes_up(on_bus=False)
    await c.act(proposal, "withdraw", reason="Solved otherwise")
    decided = await c.decide(proposal)
    await c.changes_up()
    await c.did(proposal, "matter.withdraw_refused")
    after = await c.proposal(proposal)
    assert (after["state"], after["times_decided"]) == ("approved", 1)
    [refused] = await c.published("changes", MatterWithdrawRefused, proposal)
    assert (refused["data"]["code"], refused["data"]["decision_id"]) == (
        "already_decided",
        decided["decision_id"],
    )
    assert (await c.matter(proposal))["state"] == "decided"


async def test_a_decision_on_a_former_text_ends_what_was_to_be_withdrawn(c: Crossing) -> None:
    proposal = await c.propose()
    await c.opened(proposal)
    await c.changes_up(on_bus=False)
    await c.act(proposal, "change", title="An earlier cut-off")
    await c.act(proposal, "withdraw", reason="Solved otherwise")
    await c.decide(proposal)
    await c.changes_up()
    after = await c.proposal_in(proposal, "withdrawn")
    assert after["times_decided"] == 0
    assert (await c.matter_in(proposal, "stale"))["clock"] is None


async def test_a_decision_that_comes_twice_is_carried_out_once(c: Crossing) -> None:
    proposal = await c.propose()
    await c.opened(proposal)
    await c.decide(proposal)
    await c.proposal_in(proposal, "approved")
    [decision] = await c.published("changes", MatterDecided, proposal)
    await c.say_again("sla", MatterDecided, decision)
    after = await c.proposal(proposal)
    assert (after["state"], after["times_decided"]) == ("approved", 1)
    assert await c.published("sla", MatterOutcomeNotApplied, proposal) == []


async def test_a_decision_for_a_subject_that_waits_no_more_leaves_the_matter_stale(c: Crossing) -> None:
    proposal = await c.propose()
    await c.opened(proposal)
    await c.act(proposal, "drop")
    decided = await c.decide(proposal)
    matter = await c.matter_in(proposal, "stale")
    assert matter["decision_id"] == decided["decision_id"]
    [refusal] = await c.published("sla", MatterOutcomeNotApplied, proposal)
    assert (refusal["data"]["reason"], refusal["data"]["waits"]) == ("no_longer_waiting", False)
    after = await c.proposal(proposal)
    assert (after["state"], after["times_decided"]) == ("dropped", 0)


async def test_the_service_of_matters_is_away_for_a_day(c: Crossing) -> None:
    waiting, gone = await c.propose(), None
    await c.opened(waiting)
    await c.changes_away()
    put_at = c.clock()
    new, gone = await c.propose(title="New"), await c.propose(title="Gone")
    await c.act(waiting, "change", title="Changed while you were away")
    await c.act(gone, "withdraw", reason="Solved otherwise")
    await c.pass_time(DAY)
    await c.act(new, "change", title="New, and changed")
    assert [(await c.proposal(each))["state"] for each in (waiting, new, gone)] == ["awaiting_decision"] * 3
    await c.changes_up()
    matter = await c.matter_in(new, "open", title="New, and changed")
    assert matter["clock"]["starts_at"] == put_at.isoformat().replace("+00:00", "Z")
    await c.matter_in(waiting, "open", title="Changed while you were away")
    await c.proposal_in(gone, "withdrawn")
    assert len(await c.published("changes", MatterReassigned, waiting)) == 1
    assert len(await c.published("sla", MatterSubjectChanged, new)) == 1
    for each in (waiting, new):
        await c.decide(each)
        assert (await c.proposal_in(each, "approved"))["times_decided"] == 1


async def test_the_service_of_the_subject_is_away_when_the_decision_comes(c: Crossing) -> None:
    proposal = await c.propose()
    await c.opened(proposal)
    await c.toy_away()
    decided = await c.decide(proposal)
    c.clock.advance(DAY)
    await c.toy_back()
    after = await c.proposal_in(proposal, "approved")
    assert (after["decision_id"], after["times_decided"]) == (decided["decision_id"], 1)
