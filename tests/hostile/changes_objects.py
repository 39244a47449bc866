"""What the change log keeps, made as its owner would, and requests that work there."""

from typing import Any

from tests.hostile.support import Made, Parties, Stage
from tests.support.changes import CHANGES, JOWG_IMPACT, change


async def change_request(stage: Stage, of: Parties, **over: Any) -> str:
    form = change(stage.s, charter_id=str(of.charter_id), title=f"{of.word} change", **over)
    made = await stage.call(f"{of.customer}.business_owner", "POST", CHANGES, form)
    return str(made["id"])


async def matter(stage: Stage, of: Parties) -> str:
    path = f"{CHANGES}/{await change_request(stage, of, impact=JOWG_IMPACT)}"
    made = await stage.call(f"{of.customer}.om_team", "GET", path)
    listed = await stage.call(f"{of.customer}.om_team", "GET", f"/changes/v1/matters?subject_id={made['id']}")
    return str(listed["items"][0]["id"])


async def _voted(stage: Stage, of: Parties, vote: str) -> dict[str, Any]:
    path = f"{CHANGES}/{await change_request(stage, of, impact=JOWG_IMPACT)}"
    made = await stage.call(f"{of.customer}.om_team", "GET", path)
    for side in (of.customer, of.provider):
        ballot = {"vote": vote, "rationale": f"{of.word}: discussed"}
        made = await stage.call(f"{side}.om_team", "POST", f"{path}/decide", ballot, made["version"])
    return made


async def decision(stage: Stage, of: Parties) -> str:
    return str((await _voted(stage, of, "approve"))["decision_id"])


async def escalation(stage: Stage, of: Parties) -> str:
    page = await stage.call(
        f"{of.customer}.om_team", "GET", f"{CHANGES}/{await change_request(stage, of, impact=JOWG_IMPACT)}"
    )
    body = {"reason_code": "contentious", "what_was_tried": f"{of.word}: two meetings"}
    path = f"{CHANGES}/{page['id']}/escalate"
    up = await stage.call(f"{of.customer}.om_team", "POST", path, body, page["version"])
    return str(up["escalation_id"])


async def to_submit(stage: Stage, of: Parties) -> Made:
    return Made({}, change(stage.s, charter_id=str(of.charter_id), title=f"{of.word} change"))


async def to_preview(stage: Stage, of: Parties) -> Made:
    return Made({}, {"charter_id": str(of.charter_id), "type": "normal", "impact": JOWG_IMPACT})


async def to_assess(stage: Stage, of: Parties) -> Made:
    return Made({"change_id": await change_request(stage, of, impact={})}, {"impact": JOWG_IMPACT})


async def to_resume(stage: Stage, of: Parties) -> Made:
    return Made({"change_id": (await _voted(stage, of, "defer"))["id"]}, {"reason": "The funds arrived."})
