"""The governance story through the public API, step by step: the demonstration and the end-to-end tests tell it.

Every step is an HTTP call a person could make with curl. Nothing here touches a database.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
PATIENCE_SECONDS = 60.0
NOT_YET_KNOWN = ("not_a_member", "There is no such charter in force")
PEOPLE: Mapping[str, tuple[str, ...]] = {
    "des": ("business_owner", "om_team", "executive_sponsor", "contracting_officer", "isso", "org_admin"),
    "fssc": ("business_owner", "om_team", "executive_sponsor", "contracting_officer", "isso", "org_admin"),
    "qsmo": ("observer",),
}
ORGANIZATIONS = {
    "des": {"name": "Department of Example Services", "aid": "990"},
    "fssc": {"name": "Federal Shared Services Center", "aid": "991"},
    "qsmo": {"name": "Quality Service Management Office"},
}
SIGNATORIES = ("des.business_owner", "des.executive_sponsor", "fssc.business_owner", "fssc.executive_sponsor")
GTC_NUMBER = "A2610-990-991-000123"
CHANGE = {
    "title": "Move payroll to the 2027 tax tables",
    "type": "normal",
    "category": "scope",
    "description": "Load the 2027 tables, test two parallel pay periods, switch before pay period 1.",
    "justification": "The tables are required by law from 1 January 2027.",
    "consequence_of_not_doing": "Withholding is wrong for every employee.",
    "back_out_plan": "Restore the 2026 tables and rerun the pay period.",
    "priority": {"impact": "medium", "urgency": "medium"},
    "impact": {
        "cost_one_time": "180000.00",
        "cost_annual": "0",
        "schedule_days": "15",
        "sla_effect": "none",
        "security_impact": "low",
    },
}
RELEASE = CHANGE | {
    "title": "Fund release 7.2",
    "category": "cost",
    "description": "Both parties benefit from release 7.2; who pays for it is open.",
    "justification": "Release 7.1 leaves vendor support in 2027.",
    "impact": {
        "cost_one_time": "90000.00",
        "cost_annual": "12000.00",
        "schedule_days": "10",
        "sla_effect": "none",
        "security_impact": "none",
    },
}
PLATFORM_METRICS: Sequence[dict[str, Any]] = (
    {
        "key": "AV-01",
        "name": "Core application availability",
        "service": "Payroll Portal",
        "rule": {"aggregation": "availability", "basis": "checks", "expects": {"per_day": 3}},
        "comparator": "gte",
        "expected": "99.5",
        "minimum": "95",
        "zone": "UTC",
    },
    {
        "key": "AV-07",
        "name": "Response time P95",
        "service": "Payroll Portal",
        "rule": {"aggregation": "percentile", "percentile": "95", "expects": {"per_day": 3}},
        "unit": "ms",
        "comparator": "lte",
        "expected": "3000",
        "minimum": "5000",
        "zone": "UTC",
        "display_decimals": 0,
    },
)


class Unexpected(Exception):
    """A step got another answer than the story expects."""


class NotInTime(Unexpected):
    """What should have happened by events did not."""


@dataclass
class Story:
    """One telling. `token` gives a bearer token for a subject; `issuer` is what its tokens name.

    `prefix` keeps the subjects of several tellings on one platform apart.
    """

    client: httpx.AsyncClient
    token: Callable[[str], Awaitable[str]]
    issuer: str
    prefix: str = ""
    effective: str = "2026-10-01"
    ends: str = "2029-09-30"
    orgs: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)
    charter_id: str = ""

    async def call(
        self,
        who: str,
        method: str,
        path: str,
        body: object = None,
        *,
        version: int | None = None,
        expect: int | None = None,
        content: bytes | None = None,
        kind: str = "application/json",
    ) -> Any:
        """One request as `who`; the decoded answer, or `Unexpected`."""
        headers = {"Authorization": f"Bearer {await self.token(self.subject(who))}"}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        if content is not None or method != "GET":
            headers["Content-Type"] = kind
            content = content if content is not None else json.dumps({} if body is None else body).encode()
        answer = await self.client.request(method, path, content=content, headers=headers)
        if answer.is_error if expect is None else answer.status_code != expect:
            raise Unexpected(f"{method} {path} as {who}: {answer.status_code} {answer.text[:600]}")
        return answer.json()

    def subject(self, who: str) -> str:
        return who if who == "sysadmin" else self.prefix + who

    async def eventually(self, ask: Callable[[], Awaitable[T | None]], what: str) -> T:
        """Ask until there is an answer: services learn of each other by events."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (answer := await ask()) is None:
                    await asyncio.sleep(0.1)
                return answer
        except TimeoutError:
            raise NotInTime(f"{what} did not happen within {PATIENCE_SECONDS:.0f} s") from None

    async def register_organizations(self) -> None:
        """A platform administrator registers three organizations and their people."""
        for key, organization in ORGANIZATIONS.items():
            made = await self.call("sysadmin", "POST", "/charter/v1/organizations", organization)
            self.orgs[key] = made["id"]
            for role in PEOPLE[key]:
                await self._enrol(key, role)

    async def _enrol(self, org: str, role: str) -> None:
        person = {
            "issuer": self.issuer,
            "subject": self.subject(f"{org}.{role}"),
            "display_name": f"{org.upper()} {role.replace('_', ' ').title()}",
            "roles": [role],
        }
        made = await self.call(
            "sysadmin", "POST", f"/charter/v1/organizations/{self.orgs[org]}/members", person
        )
        self.members[f"{org}.{role}"] = made["id"]

    async def draft_charter(self) -> dict[str, Any]:
        """The customer drafts a charter from the model text, in one call."""
        model = {
            "title": "Integrated O&M governance of DES and FSSC",
            "services": ["payroll", "accounts_payable", "service_desk", "platform"],
            "effective_date": self.effective,
            "annual_order_value": "4800000",
        }
        form = {
            "customer_org_id": self.orgs["des"],
            "provider_org_id": self.orgs["fssc"],
            "observer_org_ids": [self.orgs["qsmo"]],
            "from_model": model,
        }
        charter: dict[str, Any] = await self.call("des.om_team", "POST", "/charter/v1/charters", form)
        self.charter_id = charter["id"]
        return charter

    async def ratify_charter(self) -> dict[str, Any]:
        """Freeze the text; both parties sign the same hash; it comes into force."""
        path = f"/charter/v1/charters/{self.charter_id}"
        charter = await self.call("des.om_team", "GET", path)
        charter = await self.call("des.om_team", "POST", f"{path}/freeze", version=charter["version"])
        for signatory in SIGNATORIES:
            form = {"content_hash": charter["content_hash"], "role": signatory.partition(".")[2]}
            charter = await self.call(signatory, "POST", f"{path}/sign", form, version=charter["version"])
        if charter["state"] != "active":
            raise Unexpected(f"the charter is {charter['state']} after all signatures")
        return dict(charter)

    async def register_agreement(self) -> dict[str, Any]:
        """The customer registers the GT&C, once the sla service knows the charter."""
        form = {
            "charter_id": self.charter_id,
            "kind": "IAA_GTC",
            "gtc_number": GTC_NUMBER,
            "title": "GT&C between DES and FSSC",
            "start_date": self.effective,
            "end_date": self.ends,
            "total_amount": "14400000.00",
            "termination_days": 180,
        }
        return await self._once_known("des.om_team", "/sla/v1/agreements", form)

    async def register_sla(self, agreement_id: str, **changes: Any) -> dict[str, Any]:
        """An SLA for the platform: availability from probe checks, and a percentile of response times."""
        form = {
            "agreement_id": agreement_id,
            "title": "Platform",
            "service": "platform",
            "effective_date": self.effective,
            "end_date": self.ends,
            "remediation_policy": "A corrective action plan within ten business days of a published miss.",
            "metrics": list(PLATFORM_METRICS),
        }
        made: dict[str, Any] = await self.call("des.om_team", "POST", "/sla/v1/slas", form | changes)
        return made

    async def send_observations(self, sla_id: str, ndjson: bytes) -> None:
        """The provider's measurements, one JSON object a line."""
        path = f"/sla/v1/slas/{sla_id}/observations"
        await self.call("fssc.om_team", "POST", path, content=ndjson, kind="application/x-ndjson")

    async def publish_report(self, sla_id: str, period: str) -> dict[str, Any]:
        """Draft, explain every miss, publish by the provider's Business Owner."""
        report = await self._report_for(sla_id, period)
        path = f"/sla/v1/reports/{report['id']}"
        report = await self.call("fssc.om_team", "POST", f"{path}/draft", version=report["version"])
        unmet = [r["metric_key"] for r in report["results"] if r["status"] not in ("met", "not_applicable")]
        words = {
            "summary": "Computed from the probe checks both parties can read.",
            "causes": dict.fromkeys(
                unmet, "A storage controller failed over too slowly; firmware is on order."
            ),
        }
        report = await self.call(
            "fssc.om_team", "PATCH", f"{path}/commentary", words, version=report["version"]
        )
        attest = {"attestation": "I attest that this report is complete and accurate to my knowledge."}
        published: dict[str, Any] = await self.call(
            "fssc.business_owner", "POST", f"{path}/publish", attest, version=report["version"]
        )
        return published

    async def _report_for(self, sla_id: str, period: str) -> dict[str, Any]:
        reports = await self.call("fssc.om_team", "GET", f"/sla/v1/reports?sla_id={sla_id}")
        for report in reports["items"]:
            if report["period"] == period:
                return dict(report)
        made: dict[str, Any] = await self.call(
            "fssc.om_team", "POST", f"/sla/v1/slas/{sla_id}/reports", {"period": period}
        )
        return made

    async def submit_change(self, form: Mapping[str, Any] = CHANGE) -> dict[str, Any]:
        """The provider asks for a change, once the changes service knows the charter."""
        return await self._once_known(
            "fssc.om_team", "/changes/v1/change_requests", {**form, "charter_id": self.charter_id}
        )

    async def vote(self, change: Mapping[str, Any], who: str, vote: str) -> dict[str, Any]:
        """One party's vote at the body that holds the change request."""
        form = {"vote": vote, "rationale": f"{vote.capitalize()} by {who.partition('.')[0].upper()}."}
        path = f"/changes/v1/change_requests/{change['id']}/decide"
        decided: dict[str, Any] = await self.call(who, "POST", path, form, version=change["version"])
        return decided

    async def escalate(self, change: Mapping[str, Any], who: str) -> dict[str, Any]:
        """A member takes a contentious item to the next body."""
        form = {"reason_code": "contentious", "what_was_tried": "Two working sessions; the split stays open."}
        path = f"/changes/v1/change_requests/{change['id']}/escalate"
        moved: dict[str, Any] = await self.call(who, "POST", path, form, version=change["version"])
        return moved

    async def register_endpoint(self, who: str, url: str, template: str, **options: Any) -> dict[str, Any]:
        """An organization names the ticketing system that gets its alerts; the answer shows the secret once."""
        form = {"url": url, "name": "Ticketing system", "template": template} | options
        return await self._once_known(who, "/notifier/v1/endpoints", form)

    async def alerts(self, who: str, rule: str | None = None) -> list[dict[str, Any]]:
        """The caller's alerts, newest first."""
        page = await self.call(who, "GET", "/notifier/v1/alerts")
        return [alert for alert in page["items"] if rule in (None, alert["rule"])]

    async def _once_known(self, who: str, path: str, form: Mapping[str, Any]) -> dict[str, Any]:
        """POST until the service knows the caller and the charter."""

        last = ""

        async def attempt() -> dict[str, Any] | None:
            nonlocal last
            try:
                made: dict[str, Any] = await self.call(who, "POST", path, form)
            except Unexpected as error:
                last = str(error)
                if not any(unknown in last for unknown in NOT_YET_KNOWN):
                    raise
                return None
            return made

        try:
            return await self.eventually(attempt, f"POST {path}")
        except NotInTime as late:
            raise NotInTime(f"{late}; the last answer was {last}") from None
