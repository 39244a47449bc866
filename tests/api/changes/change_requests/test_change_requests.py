"""The change-request log over HTTP: submit, preview, assess, read, withdraw, export."""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from services.changes.change_requests.schemas import Change
from shared.contracts.changes import ChangeSubmitted, ChangeWithdrawn, MatterOpened, MatterWithdrawn
from tests.conftest import StartService
from tests.support.changes import CHANGES, JOWG_IMPACT, SMB_IMPACT, act, change, ok, problem, read, submitted
from tests.support.harness import RunningService


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as service:
        yield service


async def test_a_complete_request_is_routed_at_once_and_says_why(s: RunningService) -> None:
    change = await submitted(s)
    decided_by = (change["state"], change["body"], change["tier"], change["severity"])
    assert decided_by == ("pending_decision", "smb", 2, "moderate")
    assert change["charter_version"] == 1
    assert {line["dimension"]: line["rule"] for line in change["explanation"]} == {
        dimension: f"{dimension}/t2" for dimension in SMB_IMPACT
    }
    assert change["explanation"][0]["text"].startswith("Service Management Board may decide cost one time")
    # Ten business days from Tue 2026-11-10, without Veterans Day.
    assert change["clock"]["ends_at"] == "2026-11-25T22:00:00Z"
    assert (change["clock"]["limit"], change["clock"]["unit"]) == (10, "business_days")
    assert [entry["action"] for entry in change["timeline"]] == ["change.submit", "matter.open"]


async def test_submission_and_routing_are_published_in_this_order(s: RunningService) -> None:
    change = await submitted(s, "provider.om_team")
    submission = (await s.envelopes(ChangeSubmitted))[-1]
    routing = (await s.envelopes(MatterOpened))[-1]
    assert submission["data"]["origin"] == "provider"
    assert (submission["subject"], submission["sequence"]) == (change["id"], 1)
    about = (routing["data"]["subject_kind"], routing["data"]["subject_id"], routing["sequence"])
    assert about == ("change_request", change["id"], 1)
    assert routing["data"]["body"] == "smb"
    assert routing["data"]["rules"]["cost_one_time"] == "cost_one_time/t2"
    assert routing["charterid"] == str(s.world.charter_id)


async def test_numbers_of_a_charter_follow_each_other_without_a_gap(s: RunningService) -> None:
    first = await submitted(s)
    refused = await s.post("customer.om_team", CHANGES, change(s, impact={"cost_one_time": "much"}))
    assert problem(refused, 422) == "impact_not_a_number"
    second = await submitted(s)
    assert int(second["number"][-4:]) == int(first["number"][-4:]) + 1
    assert first["number"].startswith("CR-FY27-")


async def test_an_unassessed_request_waits_for_its_impact_analysis(s: RunningService) -> None:
    change = await submitted(s, impact={"cost_one_time": "180000"})
    assert (change["state"], change["body"], change["clock"]) == ("impact_analysis", None, None)
    assert change["required_missing"] == ["cost_annual", "schedule_days", "sla_effect", "security_impact"]

    some = {"impact": {"cost_annual": "0", "schedule_days": 15}}
    refused = await s.post("provider.om_team", f"{CHANGES}/{change['id']}/assess", some, version=1)
    assert problem(refused, 409) == "assess_first"
    assert refused.json()["errors"][0]["pointer"] == "/impact/sla_effect"

    rest = {"impact": some["impact"] | {"sla_effect": "none", "security_impact": "moderate"}}
    assessed = await act(s, "provider.om_team", change, "assess", rest)
    assert (assessed["state"], assessed["body"], assessed["required_missing"]) == (
        "pending_decision",
        "smb",
        [],
    )
    assert assessed["impact"]["schedule_days"] == "15"


async def test_an_assessed_request_is_not_assessed_again(s: RunningService) -> None:
    change = await submitted(s)
    cheaper = {"impact": {"cost_one_time": "1"}}
    refused = await s.post(
        "customer.om_team", f"{CHANGES}/{change['id']}/assess", cheaper, version=change["version"]
    )
    assert problem(refused, 409) == "not_allowed"


async def test_a_proposer_may_ask_for_a_higher_body_with_a_reason_code(s: RunningService) -> None:
    asked = {"requested_body": "esc", "reason_code": "precedent"}
    change = await submitted(s, **asked)
    assert (change["body"], change["computed_body"], change["reason_code"]) == ("esc", "smb", "precedent")


@pytest.mark.parametrize(
    ("over", "status", "code"),
    [
        ({"requested_body": "jowg", "reason_code": "precedent"}, 409, "lower_than_computed"),
        ({"requested_body": "esc"}, 409, "reason_code_required"),
        ({"requested_body": "esc", "reason_code": "i_like_it"}, 422, "invalid"),
        ({"impact": {"rainfall": "1"}}, 422, "unknown_dimension"),
        ({"impact": {"sla_effect": "whatever"}}, 422, "unknown_level"),
        ({"impact": {"cost_one_time": "-999999999"}}, 422, "negative_amount"),
        ({"impact": {"savings_annual": "-1"}}, 422, "negative_amount"),
        ({"impact": {"cost_one_time": 180000.5}}, 422, "invalid"),
        ({"impact": {"cost_one_time": True}}, 422, "invalid"),
        ({"impact": {"cost_one_time": "9" * 400}}, 422, "invalid"),
        ({"title": ""}, 422, "invalid"),
        ({"title": "nul \u0000"}, 422, "invalid"),
        ({"type": "urgent"}, 422, "invalid"),
        ({"approved": True}, 422, "invalid"),
        ({"charter_id": str(uuid4())}, 404, "not_found"),
    ],
)
async def test_what_does_not_fit_is_refused_by_name(
    s: RunningService, over: dict[str, Any], status: int, code: str
) -> None:
    assert problem(await s.post("customer.om_team", CHANGES, change(s, **over)), status) == code


@pytest.mark.parametrize("verb", ["preview_route", "assess"])
@pytest.mark.parametrize(
    ("impact", "code"),
    [({"sla_effect": "whatever"}, "unknown_level"), ({"cost_annual": "-0.01"}, "negative_amount")],
)
async def test_every_door_refuses_an_impact_the_charter_cannot_measure(
    s: RunningService, verb: str, impact: dict[str, str], code: str
) -> None:
    if verb == "assess":
        path = f"{CHANGES}/{(await submitted(s, impact={}))['id']}/assess"
        refused = await s.post("provider.om_team", path, {"impact": impact}, version=1)
    else:
        question = {"charter_id": str(s.world.charter_id), "type": "normal", "impact": impact}
        refused = await s.post("provider.om_team", f"{CHANGES}/preview_route", question)
    assert problem(refused, 422) == code
    assert refused.json()["errors"][0]["pointer"] == f"/impact/{next(iter(impact))}"


async def test_savings_stand_in_the_log_and_lead_to_no_body(s: RunningService) -> None:
    change = await submitted(s, impact=JOWG_IMPACT | {"savings_annual": "5000000", "savings_one_time": 12})
    assert (change["body"], change["impact"]["savings_annual"]) == ("jowg", "5000000")
    rows = csv.DictReader(io.StringIO((await s.get("customer.om_team", f"{CHANGES}.csv")).text))
    saved = {
        row["number"]: (row["savings_one_time"], row["savings_annual"], row["other_impact"]) for row in rows
    }
    assert saved[change["number"]] == ("12", "5000000", "")


@pytest.mark.parametrize(
    ("member", "status", "code"),
    [
        ("observer.observer", 403, "role_required"),
        ("observer.om_team", 403, "other_party"),
        ("customer.isso", 403, "role_required"),
        ("customer.executive_sponsor", 403, "role_required"),
        ("other.om_team", 404, "not_found"),
        ("sysadmin", 403, "sysadmin_governs_nothing"),
    ],
)
async def test_only_teams_and_owners_of_both_parties_submit(
    s: RunningService, member: str, status: int, code: str
) -> None:
    assert problem(await s.post(member, CHANGES, change(s)), status) == code


async def test_a_foreign_organization_sees_no_request_and_cannot_tell_it_from_a_missing_one(
    s: RunningService,
) -> None:
    change = await submitted(s)
    foreign = await s.get("other.om_team", f"{CHANGES}/{change['id']}")
    missing = await s.get("other.om_team", f"{CHANGES}/{uuid4()}")
    assert problem(foreign, 404) == problem(missing, 404) == "not_found"
    assert foreign.json()["detail"] == missing.json()["detail"]
    assert ok(await s.get("other.om_team", CHANGES))["items"] == []


async def test_an_observer_reads_but_does_not_act(s: RunningService) -> None:
    change = await submitted(s)
    assert (await read(s, change, "observer.observer"))["number"] == change["number"]
    for verb, body in (
        ("withdraw", {"reason": "no"}),
        ("decide", {"vote": "approve", "rationale": "yes"}),
        ("escalate", {"reason_code": "urgent", "what_was_tried": "nothing"}),
    ):
        answer = await s.post(
            "observer.om_team", f"{CHANGES}/{change['id']}/{verb}", body, version=change["version"]
        )
        assert problem(answer, 403) == "other_party"


async def test_the_preview_says_who_will_decide_and_writes_nothing(s: RunningService) -> None:
    before = len(await s.events(ChangeSubmitted))
    question = {"charter_id": str(s.world.charter_id), "type": "normal", "impact": SMB_IMPACT}
    preview = ok(await s.post("customer.isso", f"{CHANGES}/preview_route", question))
    assert (preview["body"], preview["tier"], preview["required_missing"]) == ("smb", 2, [])
    assert {line["lowest_body"] for line in preview["explanation"]} == {"jowg", "smb"}

    partial = question | {"impact": {"cost_one_time": "2000000"}}
    preview = ok(await s.post("customer.isso", f"{CHANGES}/preview_route", partial))
    assert (preview["body"], len(preview["required_missing"])) == ("esf", 4)
    assert len(await s.events(ChangeSubmitted)) == before


async def test_an_emergency_goes_to_the_emergency_authority_before_it_is_assessed(s: RunningService) -> None:
    change = await submitted(s, type="emergency", impact={}, priority={"impact": "high", "urgency": "high"})
    assert (change["state"], change["body"], change["severity"]) == ("pending_decision", "eca", "critical")
    # An hour of the day and the night, from 15:00.
    assert (change["clock"]["ends_at"], change["clock"]["calendar"]) == (
        "2026-11-10T16:00:00Z",
        "around_the_clock",
    )


async def test_an_idempotency_key_replays_the_first_answer(s: RunningService) -> None:
    first = await s.post("customer.om_team", CHANGES, change(s), key="order-66-submit")
    again = await s.post("customer.om_team", CHANGES, change(s), key="order-66-submit")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = await s.post("customer.om_team", CHANGES, change(s, title="Another"), key="order-66-submit")
    assert other.status_code == 422


@pytest.mark.parametrize("verb", ["assess", "decide", "escalate", "withdraw", "resume"])
async def test_every_verb_wants_the_version_that_was_read(s: RunningService, verb: str) -> None:
    bodies = {
        "assess": {"impact": {"cost_annual": "0"}},
        "decide": {"vote": "approve", "rationale": "fine"},
        "escalate": {"reason_code": "urgent", "what_was_tried": "talked"},
    }
    change = await submitted(s)
    path, body = f"{CHANGES}/{change['id']}/{verb}", bodies.get(verb, {"reason": "because"})
    assert problem(await s.post("customer.om_team", path, body), 428) == "if_match_required"
    stale = await s.post("customer.om_team", path, body, version=change["version"] - 1)
    assert problem(stale, 412) == "version_changed"


async def test_the_requesting_party_withdraws_and_the_request_is_final(s: RunningService) -> None:
    change = await submitted(s)
    path = f"{CHANGES}/{change['id']}/withdraw"
    other = await s.post("provider.om_team", path, {"reason": "no"}, version=change["version"])
    assert problem(other, 403) == "other_party"
    gone = await act(s, "customer.om_team", change, "withdraw", {"reason": "Budget was cut."})
    assert (gone["state"], gone["clock"]) == ("withdrawn", None)
    assert (await s.events(ChangeWithdrawn))[-1].reason == "Budget was cut."
    assert [(e.subject_number, e.asks) for e in await s.events(MatterWithdrawn)] == [(change["number"], ())]
    again = await s.post("customer.om_team", path, {"reason": "twice"}, version=gone["version"])
    assert problem(again, 409) == "not_allowed"


async def test_the_list_filters_by_state_body_severity_charter_and_last_change(s: RunningService) -> None:
    small = await submitted(s, impact=JOWG_IMPACT, priority={"impact": "low", "urgency": "low"})

    async def numbers(**wanted: str) -> set[str]:
        page = ok(await s.get("provider.om_team", CHANGES, limit=1000, **wanted))
        return {item["number"] for item in page["items"]}

    assert small["number"] in await numbers(body="jowg", severity="low", state="pending_decision")
    assert small["number"] not in await numbers(body="smb")
    assert small["number"] not in await numbers(state="withdrawn")
    assert await numbers(charter_id=str(uuid4())) == set()
    assert small["number"] in await numbers(since="2026-11-10T15:00:00Z")
    assert await numbers(since="2026-11-10T15:00:01Z") == set()


@pytest.mark.parametrize("impact", [SMB_IMPACT, {}], ids=["routed", "to be assessed"])
async def test_an_item_of_the_list_is_what_reading_it_gives(
    s: RunningService, impact: dict[str, str]
) -> None:
    change = await submitted(s, impact=impact)
    page = ok(await s.get("customer.om_team", CHANGES, limit=1))
    detail = await read(s, change)
    assert page["items"] == [{name: detail[name] for name in Change.model_fields}]


async def test_pages_follow_each_other_and_a_cursor_stays_with_its_filters(s: RunningService) -> None:
    await submitted(s)
    await submitted(s)
    first = await s.get("customer.om_team", CHANGES, limit=1)
    cursor = first.json()["next_cursor"]
    assert 'rel="next"' in first.headers["Link"]
    second = ok(await s.get("customer.om_team", CHANGES, limit=1, cursor=cursor))
    assert second["items"][0]["id"] < first.json()["items"][0]["id"]
    moved = await s.get("customer.om_team", CHANGES, limit=1, cursor=cursor, body="smb")
    assert problem(moved, 400) == "foreign_cursor"


async def test_the_log_exports_as_csv_with_the_same_filters_and_no_formulas(s: RunningService) -> None:
    change = await submitted(
        s, title='=HYPERLINK("http://x")', impact=SMB_IMPACT | {"risk_acceptance": "low"}
    )
    answer = await s.get("customer.om_team", f"{CHANGES}.csv", body="smb")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = {row["number"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    row = rows[change["number"]]
    assert row["title"].startswith("'=")
    assert (row["cost_one_time"], row["schedule_days"], row["body"]) == ("180000.00", "15", "smb")
    assert row["other_impact"] == "risk_acceptance=low"
    assert row["requester"] == "Customer Business Owner"
    assert {row["body"] for row in rows.values()} == {"smb"}


async def test_a_request_is_decided_by_the_charter_version_it_entered_with(
    start_service: StartService,
) -> None:
    async with start_service("changes") as fresh:
        old = await submitted(fresh, impact={})
        await amend_first_limit(fresh, Decimal(50_000))
        between = {"impact": JOWG_IMPACT | {"cost_one_time": "30000"}}
        new = await submitted(fresh, **between)
        assessed = await act(fresh, "customer.om_team", old, "assess", between)
        assert (new["charter_version"], new["body"]) == (2, "jowg")
        assert (assessed["charter_version"], assessed["body"]) == (1, "smb")


async def amend_first_limit(s: RunningService, amount: Decimal) -> None:
    """A second charter version in which the working group decides up to that one-time cost."""
    rights = tuple(
        replace(right, amount=amount) if right.id == "cost_one_time/t1" else right
        for right in s.world.charter.decision_rights
    )
    s.world.charter = replace(s.world.charter, decision_rights=rights)
    await s.publish(s.world.activation(version=2), aggregate_id=s.world.charter_id, version=2)
