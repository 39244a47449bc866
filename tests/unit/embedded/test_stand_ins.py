"""The stand-ins: an identity provider the services can believe, and a sink that checks signatures."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from concordat.embedded.stand_ins import KEPT_DELIVERIES, identity_provider, named, webhook_sink
from shared.pure.signing import signed_headers
from shared.runtime.clock import system_clock
from shared.runtime.settings import Issuer
from shared.web.problems import Unauthorized
from shared.web.tokens import TokenVerifier

ISSUER = "http://identity-provider:8000"
BODY = b'{"type":"alert.opened"}'


def calling(app: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")  # type: ignore[arg-type]


def verifier(folder: Path, key_set: object) -> TokenVerifier:
    keys = folder / "jwks.json"
    keys.write_text(json.dumps(key_set))
    return TokenVerifier((Issuer(issuer=ISSUER, jwks_file=keys),), (f"{ISSUER}|sysadmin",), system_clock)


@pytest.mark.parametrize("asked", [{"data": {"subject": "alice"}}, {"json": {"subject": "alice"}}])
async def test_a_token_proves_whoever_was_asked_for(asked: dict[str, dict[str, str]], tmp_path: Path) -> None:
    async with calling(identity_provider(ISSUER)) as client:
        granted = (await client.post("/token", **asked)).json()  # type: ignore[arg-type]
        tokens = verifier(tmp_path, (await client.get("/jwks.json")).json())
    identity = await tokens.verify(granted["access_token"])
    assert (granted["token_type"], identity.issuer, identity.subject) == ("Bearer", ISSUER, "alice")


async def test_a_provider_that_was_started_anew_signs_with_another_key(tmp_path: Path) -> None:
    async with calling(identity_provider(ISSUER)) as old, calling(identity_provider(ISSUER)) as new:
        token = (await old.post("/token", data={"subject": "alice"})).json()["access_token"]
        tokens = verifier(tmp_path, (await new.get("/jwks.json")).json())
    with pytest.raises(Unauthorized):
        await tokens.verify(token)


@pytest.mark.parametrize(
    "asked", [{"content": b""}, {"json": {}}, {"json": ["alice"]}, {"data": {"grant_type": "x"}}]
)
async def test_a_token_for_nobody_is_refused_as_rfc_6749_says(asked: dict[str, object]) -> None:
    async with calling(identity_provider(ISSUER)) as client:
        answer = await client.post("/token", **asked)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_discovery_names_the_issuer_and_its_keys() -> None:
    async with calling(named("identity-provider", {"IDENTITY_PROVIDER_ISSUER": ISSUER})) as client:
        document = (await client.get("/.well-known/openid-configuration")).json()
    assert (document["issuer"], document["jwks_uri"]) == (ISSUER, f"{ISSUER}/jwks.json")


async def test_the_provider_says_that_it_believes_everybody() -> None:
    async with calling(identity_provider()) as client:
        assert "believes everybody" in (await client.get("/")).text


# Fixed, so that every worker of a parallel run collects tests of the same names.
SECRET = "whsec_" + base64.b64encode(b"a" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"b" * 32).decode()


@pytest.mark.parametrize(
    ("known", "signed_with", "age", "status", "verified"),
    [
        (SECRET, (SECRET,), timedelta(0), 200, True),
        (SECRET, (OTHER, SECRET), timedelta(0), 200, True),
        (SECRET, (OTHER,), timedelta(0), 401, False),
        (SECRET, (SECRET,), timedelta(minutes=6), 401, False),
        (SECRET, (SECRET,), timedelta(minutes=-6), 401, False),
        (None, (SECRET,), timedelta(0), 200, None),
    ],
)
async def test_the_sink_believes_a_fresh_signature_made_with_its_secret(
    known: str | None, signed_with: tuple[str, ...], age: timedelta, status: int, verified: bool | None
) -> None:
    headers = signed_headers(signed_with, "msg_1", datetime.now(UTC) - age, BODY)
    async with calling(named("webhook-sink", {"WEBHOOK_SINK_SECRET": known or ""})) as client:
        answer = await client.post("/hook/desk", content=BODY, headers=headers)
        [seen] = (await client.get("/")).json()["deliveries"]
    assert (answer.status_code, seen["verified"]) == (status, verified)
    assert (seen["hook"], seen["webhook_id"], seen["body"]) == ("desk", "msg_1", json.loads(BODY))


async def test_a_changed_body_is_refused() -> None:
    headers = signed_headers((SECRET,), "msg_1", datetime.now(UTC), BODY)
    async with calling(webhook_sink(SECRET)) as client:
        assert (await client.post("/hook/desk", content=BODY + b" ", headers=headers)).status_code == 401


async def test_a_hook_can_be_told_its_own_secret() -> None:
    headers = signed_headers((OTHER,), "msg_1", datetime.now(UTC), BODY)
    async with calling(webhook_sink(SECRET)) as client:
        assert (await client.put("/hook/desk/secret", content=OTHER)).status_code == 204
        assert (await client.post("/hook/desk", content=BODY, headers=headers)).status_code == 200
        assert (await client.post("/hook/mail", content=BODY, headers=headers)).status_code == 401
        assert (await client.put("/hook/desk/secret", content="guess me")).status_code == 422


async def test_the_sink_keeps_the_newest_hundred_and_prints_one_line_for_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with calling(webhook_sink(prefix="/sink")) as client:
        for number in range(KEPT_DELIVERIES + 5):
            await client.post(f"/sink/hook/h{number}", content=b"not json")
        deliveries = (await client.get("/sink/")).json()["deliveries"]
    assert [deliveries[0]["hook"], deliveries[-1]["hook"], len(deliveries)] == ["h104", "h5", KEPT_DELIVERIES]
    assert len(capsys.readouterr().out.splitlines()) == KEPT_DELIVERIES + 5
