"""The same story, ours to four processes on a real Kafka, each with its own database role."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from concordat.demonstration.steps import CHANGE, Story
from concordat.demonstration.story import example_observations
from tests.support.patience import PATIENCE
from tests.support.postgres import PostgresServer
from tests.support.processes import Stack, compose_stack, kafka_bootstrap

pytestmark = pytest.mark.kafka


class PrefixGateway(httpx.AsyncBaseTransport):
    """Sends each request to the service its first path segment names, as the gateway does."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._transport = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        service = request.url.path.split("/", 2)[1]
        base = httpx.URL(self._stack.base_url(service))
        request.url = request.url.copy_with(scheme=base.scheme, host=base.host, port=base.port)
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._transport.aclose()


async def test_four_processes_tell_the_story(postgres: PostgresServer, tmp_path: Path) -> None:
    bootstrap = kafka_bootstrap()
    async with (
        compose_stack(postgres, bootstrap, tmp_path) as stack,
        httpx.AsyncClient(
            transport=PrefixGateway(stack), base_url="http://gateway", timeout=PATIENCE
        ) as client,
        httpx.AsyncClient(base_url=stack.sink_url, timeout=PATIENCE) as sink,
    ):
        tokens: dict[str, str] = {}

        async def token(subject: str) -> str:
            return tokens.setdefault(subject, stack.token(subject))

        story = Story(client, token, stack.issuer)
        await story.register_organizations()
        await story.draft_charter()
        await story.ratify_charter()
        agreement = await story.register_agreement()
        sla = await story.register_sla(agreement["id"])
        options = {"template_options": {"project_key": "GOV"}}
        hook = f"{stack.sink_url}/hook/story"
        endpoint = await story.register_endpoint("fssc.org_admin", hook, "jira_issue", **options)
        learned = await sink.put("/hook/story/secret", content=endpoint["signing_secret"])
        assert learned.status_code == 204

        await story.send_observations(sla["id"], example_observations())
        published = await story.publish_report(sla["id"], "2026-10")
        assert [line["status"] for line in published["results"]] == ["missed_expected", "met"]

        change = await story.submit_change(CHANGE)
        change = await story.escalate(change, "des.business_owner")
        assert change["body"] == "esc"

        async def delivered() -> list[dict[str, Any]] | None:
            deliveries = (await sink.get("/")).json()["deliveries"]
            ours = [d for d in deliveries if change["number"] in str(d["body"])]
            return ours if ours and any("Payroll Portal" in str(d["body"]) for d in deliveries) else None

        tickets = await story.eventually(delivered, "webhooks about the escalation and the missed metric")
        assert all(ticket["verified"] for ticket in tickets)
        assert "fields" in tickets[0]["body"]

        ended = await stack.stop()
        assert ended == dict.fromkeys(ended, 0)
