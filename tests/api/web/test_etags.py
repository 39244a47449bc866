"""An ETag changes whenever what is shown changes, also where columns change without a new version."""

from sqlalchemy import text

from tests.conftest import StartService
from tests.support.harness import RunningService

OWNER = "customer.business_owner"


async def endpoint(s: RunningService) -> dict[str, object]:
    form = {"name": "Desk", "url": "https://93.184.216.34/hook"}
    made = await s.post(OWNER, "/notifier/v1/endpoints", form)
    assert made.status_code == 201, made.text
    assert made.headers["etag"].startswith('"1-')
    return dict(made.json())


async def test_health_that_changes_without_a_version_changes_the_tag(start_service: StartService) -> None:
    async with start_service("notifier") as s:
        path = f"/notifier/v1/endpoints/{(await endpoint(s))['id']}"
        before = (await s.get(OWNER, path)).headers["etag"]
        conditional = s.headers(OWNER) | {"If-None-Match": before}
        assert (await s.client.get(path, headers=conditional)).status_code == 304
        async with s.kernel.database.system() as session:
            await session.execute(text("UPDATE endpoint SET failures_in_a_row = 3"))
        after = await s.client.get(path, headers=conditional)
        assert (after.status_code, after.json()["failures_in_a_row"]) == (200, 3)
        assert after.headers["etag"] != before
        for tag in (before, after.headers["etag"], '"1"'):
            changed = await s.client.patch(path, headers=s.headers(OWNER) | {"If-Match": tag}, json={})
            assert changed.status_code == 200, "the version is what If-Match compares"
