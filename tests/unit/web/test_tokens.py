"""Tokens: what is believed, what is not, and how often an identity provider is asked."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from concordat.embedded.issuer import ISSUER, KEY_ID, DevelopmentIssuer
from shared.runtime.clock import MovableClock
from shared.runtime.settings import Issuer
from shared.web.problems import Unauthorized, Unavailable
from shared.web.tokens import KeySet, TokenVerifier

NOW = datetime(2026, 11, 10, 15, tzinfo=UTC)
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOW)


@pytest.fixture
def issuer(tmp_path: Path) -> DevelopmentIssuer:
    return DevelopmentIssuer.in_folder(tmp_path)


@pytest.fixture
def verifier(issuer: DevelopmentIssuer, clock: MovableClock) -> TokenVerifier:
    return TokenVerifier((issuer.settings,), (f"{ISSUER}|root",), clock)


def claims(**changes: Any) -> dict[str, Any]:
    stamp = int(NOW.timestamp())
    base = {"iss": ISSUER, "aud": "concordat", "sub": "a", "iat": stamp, "exp": stamp + 600}
    return {name: value for name, value in (base | changes).items() if value is not None}


def signed(
    issuer: DevelopmentIssuer, key: Any = None, alg: str = "ES256", head: Any = None, **changes: Any
) -> str:
    headers = {"kid": KEY_ID, "typ": "at+jwt"} | (head or {})
    return jwt.encode(claims(**changes), key or issuer._key, algorithm=alg, headers=headers)


async def test_a_good_token_names_its_subject(verifier: TokenVerifier, issuer: DevelopmentIssuer) -> None:
    assert (await verifier.verify(signed(issuer))).subject == "a"
    assert (await verifier.verify(signed(issuer, sub="root"))).is_sysadmin


def _none_algorithm(issuer: DevelopmentIssuer) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'kid': KEY_ID, 'typ': 'at+jwt'})}.{part(claims())}."


FORGERIES: dict[str, Callable[[DevelopmentIssuer], str]] = {
    "another key": lambda i: signed(i, key=OTHER_KEY),
    "no algorithm": _none_algorithm,
    "symmetric": lambda i: signed(i, key="s" * 64, alg="HS256"),
    "unknown key id": lambda i: signed(i, head={"kid": "nobody"}),
    "key by address": lambda i: signed(i, head={"jku": "https://evil.invalid/jwks"}),
    "critical extension": lambda i: signed(i, head={"crit": ["b64"], "b64": True}),
    "another type": lambda i: signed(i, head={"typ": "dpop+jwt"}),
    "unknown issuer": lambda i: signed(i, iss="https://evil.invalid"),
    "another audience": lambda i: signed(i, aud="grafana"),
    "no subject": lambda i: signed(i, sub=None),
    "no expiry": lambda i: signed(i, exp=None),
    "expired beyond the leeway": lambda i: signed(i, exp=int(NOW.timestamp()) - 61),
    "not yet valid": lambda i: signed(i, nbf=int(NOW.timestamp()) + 61),
    "issued in the future": lambda i: signed(i, iat=int(NOW.timestamp()) + 61),
    "an id token": lambda i: signed(i, nonce="n"),
    "not a token": lambda i: "abc",
    "too long": lambda i: signed(i, padding="x" * 9000),
    "expiry as text": lambda i: signed(i, exp=str(int(NOW.timestamp()) + 600)),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forged_token_is_refused(
    verifier: TokenVerifier, issuer: DevelopmentIssuer, name: str
) -> None:
    with pytest.raises(Unauthorized):
        await verifier.verify(FORGERIES[name](issuer))


@pytest.mark.parametrize(("claim", "shift"), [("exp", -59), ("nbf", 59), ("iat", 59)])
async def test_a_minute_of_clock_difference_is_forgiven(
    verifier: TokenVerifier, issuer: DevelopmentIssuer, claim: str, shift: int
) -> None:
    assert await verifier.verify(signed(issuer, **{claim: int(NOW.timestamp()) + shift}))


async def test_a_token_that_was_believed_once_still_expires(
    verifier: TokenVerifier, issuer: DevelopmentIssuer, clock: MovableClock
) -> None:
    token = signed(issuer)
    await verifier.verify(token)
    clock.advance(timedelta(seconds=600 + 61))
    with pytest.raises(Unauthorized):
        await verifier.verify(token)


async def test_a_token_that_was_believed_once_falls_with_its_key(
    verifier: TokenVerifier, issuer: DevelopmentIssuer, clock: MovableClock, tmp_path: Path
) -> None:
    token = signed(issuer, exp=int(NOW.timestamp()) + 7200)
    await verifier.verify(token)
    replaced = DevelopmentIssuer.in_folder(tmp_path / "replaced").key_set()
    (tmp_path / "development-issuer.jwks.json").write_text(json.dumps(replaced))
    clock.advance(timedelta(minutes=12))
    with pytest.raises(Unauthorized):
        await verifier.verify(token)


async def test_one_issuer_cannot_speak_for_another(tmp_path: Path, clock: MovableClock) -> None:
    ours, theirs = DevelopmentIssuer.in_folder(tmp_path / "a"), DevelopmentIssuer.in_folder(tmp_path / "b")
    second = Issuer(
        issuer="https://second.invalid", jwks_file=tmp_path / "b" / "development-issuer.jwks.json"
    )
    verifier = TokenVerifier((ours.settings, second), (), clock)
    assert (
        await verifier.verify(signed(theirs, iss="https://second.invalid"))
    ).issuer == "https://second.invalid"
    with pytest.raises(Unauthorized):
        await verifier.verify(signed(theirs))


class CountedKeySet(KeySet):
    """A key set whose provider is in the test's hands."""

    def __init__(self, clock: MovableClock, document: bytes) -> None:
        super().__init__(Issuer(issuer=ISSUER, jwks_url="https://idp.invalid/jwks"), clock)
        self.document: bytes | None = document
        self.fetches = 0

    async def _fetch(self) -> bytes:
        self.fetches += 1
        if self.document is None:
            raise OSError("down")
        return self.document


async def test_a_flood_of_made_up_key_ids_asks_the_provider_once(
    issuer: DevelopmentIssuer, clock: MovableClock
) -> None:
    keys = CountedKeySet(clock, json.dumps(issuer.key_set()).encode())
    for n in range(50):
        with pytest.raises(Unauthorized):
            await keys.key(f"made-up-{n}")
    assert keys.fetches == 1
    clock.advance(timedelta(seconds=31))
    with pytest.raises(Unauthorized):
        await keys.key("made-up")
    assert keys.fetches == 2


async def test_a_rotated_key_is_found_without_a_restart(
    issuer: DevelopmentIssuer, clock: MovableClock, tmp_path: Path
) -> None:
    keys = CountedKeySet(clock, json.dumps({"keys": []}).encode())
    with pytest.raises(Unavailable):
        await keys.key(KEY_ID)
    keys.document = json.dumps(issuer.key_set()).encode()
    clock.advance(timedelta(seconds=31))
    assert await keys.key(KEY_ID)


async def test_the_last_good_keys_serve_a_day_while_the_provider_is_down(
    issuer: DevelopmentIssuer, clock: MovableClock
) -> None:
    keys = CountedKeySet(clock, json.dumps(issuer.key_set()).encode())
    await keys.key(KEY_ID)
    keys.document = None
    clock.advance(timedelta(hours=23))
    assert await keys.key(KEY_ID)
    assert not keys.is_fresh
    clock.advance(timedelta(hours=2))
    with pytest.raises(Unavailable):
        await keys.key(KEY_ID)


async def test_weak_and_symmetric_keys_are_left_out(clock: MovableClock) -> None:
    weak = rsa.generate_private_key(65537, 1024).public_key()
    entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(weak)) | {
        "kid": "weak",
        "use": "sig",
        "alg": "RS256",
    }
    symmetric = {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"}
    keys = CountedKeySet(clock, json.dumps({"keys": [entry, symmetric]}).encode())
    for key_id in ("weak", "oct"):
        with pytest.raises((Unauthorized, Unavailable)):
            await keys.key(key_id)
