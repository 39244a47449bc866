"""Bearer tokens: OIDC access tokens verified locally against a cached key set (RFC 7519, RFC 8725)."""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import httpx
import jwt
import structlog
from jwt import PyJWK

from shared.data.session import Identity
from shared.runtime.clock import Clock
from shared.runtime.settings import Issuer
from shared.web.problems import Unauthorized, Unavailable

log = structlog.get_logger()

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384")
TOKEN_BYTES = 8192
LEEWAY_SECONDS = 60
REFRESH_SECONDS = 600
UNKNOWN_KEY_SECONDS = 30
STALE_SECONDS = 86_400
KEY_SET_BYTES = 65_536
FETCH_SECONDS = 2.0
KEPT_TOKENS = 4096
_TYPES = frozenset({"at+jwt", "JWT", "jwt", "application/at+jwt"})
_FORBIDDEN_HEADERS = frozenset({"jku", "x5u", "x5c", "jwk", "crit"})


class KeySet:
    """One issuer's signing keys: refreshed every ten minutes, once per half minute for an unknown key.

    When the provider is down, the last good set serves for a day.
    """

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys: Mapping[str, PyJWK] = {}
        self._loaded_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._period = REFRESH_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards nothing
        self._lock = asyncio.Lock()

    async def key(self, key_id: str) -> PyJWK:
        """The key, or `Unauthorized` when the issuer has none by that id."""
        if self._age(self._loaded_at) > self._period:
            await self._refresh(at_most_every=self._retry_period())
        if key_id not in self._keys:
            await self._refresh(at_most_every=UNKNOWN_KEY_SECONDS)
        if not self._keys or self._age(self._loaded_at) > STALE_SECONDS:
            raise Unavailable
        try:
            return self._keys[key_id]
        except KeyError:
            raise Unauthorized from None

    @property
    def is_fresh(self) -> bool:
        """Whether the set is as new as it should be; readiness reports it."""
        return self._age(self._loaded_at) <= self._period + UNKNOWN_KEY_SECONDS

    def _retry_period(self) -> float:
        return UNKNOWN_KEY_SECONDS if self._keys else 1.0

    def _age(self, moment: datetime | None) -> float:
        return float("inf") if moment is None else abs((self._clock() - moment).total_seconds())

    async def _refresh(self, at_most_every: float) -> None:
        async with self._lock:
            if self._age(self._tried_at) < at_most_every:
                return
            self._tried_at = self._clock()
            try:
                self._keys = _usable_keys(await self._fetch())
                self._loaded_at = self._clock()
            except (httpx.HTTPError, OSError, ValueError, jwt.PyJWTError) as error:
                log.warning("key_set_unavailable", issuer=self._issuer.issuer, error=type(error).__name__)

    async def _fetch(self) -> bytes:
        if self._issuer.jwks_file is not None:
            return await asyncio.to_thread(Path(self._issuer.jwks_file).read_bytes)
        assert self._issuer.jwks_url is not None
        return await _download(self._issuer.jwks_url)


async def _download(url: str) -> bytes:
    body = b""
    async with (
        asyncio.timeout(FETCH_SECONDS * 2),
        httpx.AsyncClient(timeout=FETCH_SECONDS, trust_env=False) as client,
        client.stream("GET", url) as answer,
    ):
        answer.raise_for_status()
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > KEY_SET_BYTES:
                raise ValueError("the key set is too large")
    return body


def _usable_keys(document: bytes) -> dict[str, PyJWK]:
    """The signing keys of a JWK set that our algorithms can use; weak and symmetric ones are left out."""
    keys = {}
    for entry in json.loads(document)["keys"]:
        if entry.get("use", "sig") != "sig" or entry.get("kty") not in ("RSA", "EC") or "kid" not in entry:
            continue
        key = PyJWK(entry)
        if entry["kty"] == "EC" or key.key.key_size >= 2048:
            keys[str(entry["kid"])] = key
    return keys


@dataclass(frozen=True)
class _Proven:
    """What a token's signature has proved; good while its issuer's key set holds the same key."""

    issuer: Issuer
    keys: KeySet
    key_id: str
    key: PyJWK
    claims: Mapping[str, object]

    async def is_current(self) -> bool:
        return await self.keys.key(self.key_id) is self.key


class TokenVerifier:
    """Turns a bearer token into an `Identity`, or raises `Unauthorized`.

    A signature is checked once per token and key; the times are compared at every use.
    """

    def __init__(self, issuers: tuple[Issuer, ...], sysadmins: tuple[str, ...], clock: Clock) -> None:
        self._issuers = {issuer.issuer: (issuer, KeySet(issuer, clock)) for issuer in issuers}
        self._sysadmins = frozenset(sysadmins)
        self._clock = clock
        self._proven: dict[bytes, _Proven] = {}

    async def verify(self, token: str) -> Identity:
        """The identity a token proves. Everything about the token is checked before it is believed."""
        try:
            return await self._verified(token)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            raise Unauthorized from None

    async def _verified(self, token: str) -> Identity:
        if len(token) > TOKEN_BYTES:
            raise Unauthorized
        digest = sha256(token.encode()).digest()
        proven = self._proven.get(digest)
        if proven is None or not await proven.is_current():
            proven = await self._prove(token)
            self._keep(digest, proven)
        self._check_times(proven.claims)
        issuer, subject = proven.issuer.issuer, str(proven.claims["sub"])
        return Identity(issuer, subject, f"{issuer}|{subject}" in self._sysadmins)

    async def _prove(self, token: str) -> _Proven:
        header = jwt.get_unverified_header(token)
        _check_header(header)
        claimed = jwt.decode(token, options={"verify_signature": False})
        issuer, keys = self._issuers[claimed["iss"]]
        key_id = str(header["kid"])
        key = await keys.key(key_id)
        claims = jwt.decode(
            token,
            key.key,
            algorithms=list(ALGORITHMS),
            audience=issuer.audience,
            issuer=issuer.issuer,
            # The clock is ours to inject, so the three times are compared at every use.
            options={
                "require": ["exp", "iat", "iss", "aud", "sub"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        if "nonce" in claims or claims.get("token_use", "access") != "access":
            raise Unauthorized
        return _Proven(issuer, keys, key_id, key, claims)

    def _keep(self, digest: bytes, proven: _Proven) -> None:
        if len(self._proven) >= KEPT_TOKENS:
            del self._proven[next(iter(self._proven))]
        self._proven[digest] = proven

    def _check_times(self, claims: Mapping[str, object]) -> None:
        now = self._clock().timestamp()
        expires, issued = _seconds(claims["exp"]), _seconds(claims["iat"])
        starts = _seconds(claims.get("nbf", issued))
        if now > expires + LEEWAY_SECONDS or max(issued, starts) > now + LEEWAY_SECONDS:
            raise Unauthorized

    @property
    def is_fresh(self) -> bool:
        return all(keys.is_fresh for _, keys in self._issuers.values())


def _seconds(claim: object) -> float:
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        raise Unauthorized
    return float(claim)


def _check_header(header: Mapping[str, object]) -> None:
    if header.get("alg") not in ALGORITHMS or _FORBIDDEN_HEADERS & header.keys():
        raise Unauthorized
    if header.get("typ", "JWT") not in _TYPES:
        raise Unauthorized
