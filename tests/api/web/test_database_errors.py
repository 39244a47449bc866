"""What the database says is told for what it is: a clash, a value that does not fit, an outage, or our mistake."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import pytest
import structlog
from sqlalchemy import text

from shared.data.session import Session
from shared.pure.refusal import NotYet
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.route import new_router
from tests.api.web.conftest import StartToy
from tests.support import toy_service
from tests.support.harness import RunningService

router = new_router("broken", prefix="/changes/v1/broken")
Caller = Annotated[Principal, allow(toy_service.READ)]
NOBODYS = str(UUID(int=1))
_NOTE = (
    "INSERT INTO note (id, version, created_at, updated_at, charter_id, customer_org_id, provider_org_id, "
    f"visibility, title) VALUES ('{NOBODYS}', 1, now(), now(), '{NOBODYS}', '{NOBODYS}', '{NOBODYS}', 'shared', "
)

STATEMENTS = {
    "not_null": _NOTE + "NULL)",
    "row_security": _NOTE + "'somebody else''s')",
    "unknown_column": "SELECT no_such_column FROM note",
    "unknown_table": "SELECT 1 FROM no_such_table",
    "no_privilege": "DELETE FROM audit",
    "syntax": "SELEC 1",
    "no_such_type": "SELECT 1::no_such_type",
    "division": "SELECT 1 / 0",
    "out_of_range": "SELECT 99999999999::bigint::int",
    "taken": "SET CONSTRAINTS ALL IMMEDIATE; INSERT INTO doom VALUES (1), (1)",
    "too_slow": "SET LOCAL statement_timeout = 20; SELECT pg_sleep(20)",
    "deadlock": "DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$",
    "shutting_down": "DO $$ BEGIN RAISE SQLSTATE '57P01'; END $$",
    "disk_full": "DO $$ BEGIN RAISE SQLSTATE '53100'; END $$",
    "standby": "SET TRANSACTION READ ONLY; INSERT INTO doom VALUES (7)",
}


@router.post("/{what}")
async def break_database(what: str, session: Session, caller: Caller) -> dict[str, str]:
    for statement in STATEMENTS[what].split("; " if "DO" not in STATEMENTS[what] else "\0"):
        await session.execute(text(statement.replace(":", r"\:")))
    return {}


@router.get("/file")
async def break_file(caller: Caller) -> dict[str, str]:
    raise FileNotFoundError("/no/such/file")


@router.get("/wait")
async def break_wait(caller: Caller) -> dict[str, str]:
    raise NotYet("not_here_yet", "It is on its way. Repeat the request in a moment.")


@pytest.fixture(scope="module")
async def broken(start_toy: StartToy) -> AsyncIterator[RunningService]:
    async with start_toy(router) as service:
        yield service


OURS = (
    "not_null",
    "row_security",
    "unknown_column",
    "unknown_table",
    "no_privilege",
    "syntax",
    "no_such_type",
)


@pytest.mark.parametrize("what", OURS)
async def test_a_mistake_of_the_program_is_a_500_and_its_traceback_is_logged(
    broken: RunningService, what: str
) -> None:
    with structlog.testing.capture_logs() as logged:
        answer = await broken.post("customer.om_team", f"/changes/v1/broken/{what}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "retry-after" not in answer.headers
    errors = [line for line in logged if line["log_level"] == "error"]
    assert [line["event"] for line in errors] == ["unexpected"]
    assert errors[0]["exc_info"] is not None


async def test_a_file_that_is_not_there_is_no_outage_of_the_network(broken: RunningService) -> None:
    answer = await broken.get("customer.om_team", "/changes/v1/broken/file")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")


@pytest.mark.parametrize("what", ["too_slow", "deadlock", "shutting_down", "disk_full", "standby"])
async def test_an_outage_is_a_503_that_says_when_to_come_back(broken: RunningService, what: str) -> None:
    answer = await broken.post("customer.om_team", f"/changes/v1/broken/{what}")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize("what", ["out_of_range", "division"])
async def test_a_value_that_cannot_be_stored_is_the_senders(broken: RunningService, what: str) -> None:
    answer = await broken.post("customer.om_team", f"/changes/v1/broken/{what}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_a_clash_is_a_409(broken: RunningService) -> None:
    answer = await broken.post("customer.om_team", "/changes/v1/broken/taken")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_what_is_not_here_yet_says_when_to_come_back(broken: RunningService) -> None:
    answer = await broken.get("customer.om_team", "/changes/v1/broken/wait")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_here_yet")
    assert answer.headers["retry-after"] == "2"
