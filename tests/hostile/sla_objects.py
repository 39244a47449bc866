"""What the sla service keeps, made as its owner would, and requests that work there."""

from typing import Any

from tests.hostile.support import Made, Parties, Stage
from tests.support.sla import agreement_form, metric_form, probe, sla_form

SLA = "/sla/v1"
PERIOD = "2026-10"
METRIC = metric_form(zero_volume="not_applicable")
ATTEST = {"attestation": "I attest that this report is complete and accurate."}


def _agreement(stage: Stage, of: Parties) -> dict[str, Any]:
    return agreement_form(stage.s, charter_id=str(of.charter_id), title=f"{of.word} agreement")


async def agreement(stage: Stage, of: Parties) -> str:
    made = await stage.call(f"{of.customer}.om_team", "POST", f"{SLA}/agreements", _agreement(stage, of))
    return str(made["id"])


def _sla(of: Parties, agreement_id: str) -> dict[str, Any]:
    return sla_form(agreement_id, title=f"{of.word} levels", metrics=[METRIC])


async def sla(stage: Stage, of: Parties) -> str:
    form = _sla(of, await agreement(stage, of))
    return str((await stage.call(f"{of.provider}.om_team", "POST", f"{SLA}/slas", form))["id"])


async def scheduled_report(stage: Stage, of: Parties) -> dict[str, Any]:
    path = f"{SLA}/slas/{await sla(stage, of)}/reports"
    return await stage.call(f"{of.provider}.om_team", "POST", path, {"period": PERIOD})


async def drafted_report(stage: Stage, of: Parties) -> dict[str, Any]:
    report = await scheduled_report(stage, of)
    path = f"{SLA}/reports/{report['id']}/draft"
    return await stage.call(f"{of.provider}.om_team", "POST", path, version=report["version"])


async def published_report(stage: Stage, of: Parties) -> str:
    report = await drafted_report(stage, of)
    path, who = f"{SLA}/reports/{report['id']}", f"{of.provider}.om_team"
    words = {"summary": f"{of.word} was a good month."}
    report = await stage.call(who, "PATCH", f"{path}/commentary", words, report["version"])
    owner = f"{of.provider}.business_owner"
    return str((await stage.call(owner, "POST", f"{path}/publish", ATTEST, report["version"]))["id"])


async def to_register_an_agreement(stage: Stage, of: Parties) -> Made:
    return Made({}, _agreement(stage, of))


async def to_register_an_sla(stage: Stage, of: Parties) -> Made:
    return Made({}, _sla(of, await agreement(stage, of)))


async def to_schedule(stage: Stage, of: Parties) -> Made:
    return Made({"sla_id": await sla(stage, of)}, {"period": PERIOD})


async def to_draft_a_report(stage: Stage, of: Parties) -> Made:
    return Made({"report_id": (await scheduled_report(stage, of))["id"]}, None)


async def to_comment(stage: Stage, of: Parties) -> Made:
    words = {"summary": "A good month.", "causes": {METRIC["key"]: "Nothing was sent."}}
    return Made({"report_id": (await drafted_report(stage, of))["id"]}, words)


async def to_publish(stage: Stage, of: Parties) -> Made:
    return Made({"report_id": (await drafted_report(stage, of))["id"]}, ATTEST)


async def to_observe(stage: Stage, of: Parties) -> Made:
    return Made({"sla_id": await sla(stage, of)}, {"items": [probe(1)]})
