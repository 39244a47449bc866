"""Consumers die around their commit, and meet messages no one should have sent."""

import pytest

from tests.support.faults.history import rounds
from tests.support.faults.stage import Stage


@pytest.mark.parametrize("point", ["consumer_before_db_commit", "consumer_after_db_commit"])
async def test_dying_beside_the_commit_repeats_no_effect_and_loses_none(stage: Stage, point: str) -> None:
    """T5 and T6: after the database's commit but before the offset's, and before both."""
    service = await stage.service(background=False)
    stage.relay()
    stage.consumer(stage.groups[1])
    dying = stage.groups[0]
    async with stage.load(service.url, clients=4):
        await stage.survive(
            lambda fail: stage.consumer(dying, fail_point=fail, instance_id="the-only-one"),
            point,
            deaths=rounds(6),
        )
    await stage.settle()
    await stage.verdict()
