"""Every aggregation all the way: registered, fed, read live, drafted, published, read as page, rows and hashed text."""

from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from tests.conftest import StartService
from tests.support.aggregations import VECTORS, Vector
from tests.support.harness import RunningService
from tests.support.sla import observe, register_agreement, register_sla

each = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
ATTEST = {"attestation": "I attest that this report is complete and accurate."}


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("sla") as started:
        yield started


@pytest.fixture(scope="module")
async def agreement(service: RunningService) -> dict:
    return await register_agreement(service)


async def reported(service: RunningService, agreement: dict, vector: Vector) -> dict:
    sla = await register_sla(service, agreement, metrics=[vector.form])
    taken = await observe(service, sla["id"], vector.rows)
    assert (taken["accepted"], taken["rejected"]) == (len(vector.rows), 0)
    answer = await service.post(
        "provider.om_team", f"/sla/v1/slas/{sla['id']}/reports", {"period": "2026-10"}
    )
    return answer.json()


async def act(service: RunningService, member: str, report: dict, verb: str, body: object = None) -> dict:
    path = f"/sla/v1/reports/{report['id']}/{verb}"
    if verb == "commentary":
        headers = service.headers(member) | {"If-Match": f'"{report["version"]}"'}
        answer = await service.client.patch(path, headers=headers, json=body)
    else:
        answer = await service.post(member, path, body, version=report["version"])
    assert answer.status_code == 200, answer.text
    return answer.json()


@each
async def test_the_live_result_is_the_vector_and_the_published_one_is_the_same(service, agreement, vector):
    report = await reported(service, agreement, vector)
    answer = await service.get(
        "customer.om_team", f"/sla/v1/slas/{report['sla_id']}/results", period="2026-10"
    )
    assert answer.status_code == 200, answer.text
    [live] = answer.json()["results"]
    assert (live["value_exact"], live["numerator_exact"], live["denominator_exact"], live["n"]) == (
        vector.exact,
        vector.numerator,
        vector.denominator,
        vector.n,
    )
    assert (live["status"], live["display"]) == (vector.status, vector.display)

    draft = await act(service, "provider.om_team", report, "draft")
    draft = await act(service, "provider.om_team", draft, "commentary", {"causes": {"M-01": "Known."}})
    done = await act(service, "provider.business_owner", draft, "publish", ATTEST)
    [line] = done["results"]
    assert {name: line[name] for name in live} == live

    page = await service.get("customer.om_team", f"/sla/v1/reports/{report['id']}.html")
    assert vector.method in page.text.replace("&#39;", "'")
    assert vector.display in page.text

    text = await service.get("customer.om_team", f"/sla/v1/reports/{report['id']}/result_text")
    assert sha256(text.content).hexdigest() == done["result_hash"]
    [result] = text.json()["results"]
    assert (result["value"], result["status"], result["metric"]["name"]) == (
        vector.exact,
        vector.status,
        vector.name,
    )

    rows = await service.get("observer.observer", "/sla/v1/series", sla_id=report["sla_id"])
    [row] = rows.json()["items"]
    assert (row["value"], row["status"]) == (line["value"], vector.status)


@each
async def test_without_any_observation_nothing_is_met(service, agreement, vector):
    sla = await register_sla(service, agreement, metrics=[vector.form])
    answer = await service.get("customer.om_team", f"/sla/v1/slas/{sla['id']}/results", period="2026-10")
    [live] = answer.json()["results"]
    assert (live["status"], live["value"], live["n"]) == (vector.without, None, 0)
