"""Idempotency-Key on every POST: the first answer is stored with the effect and given again.

The row is inserted first in the business transaction, so a concurrent twin waits for it and then
finds the stored answer (draft-ietf-httpapi-idempotency-key-header).
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from fastapi import Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.data.claims import Claim
from shared.data.direct import Direct, Statement
from shared.pure.refusal import Invalid, NotYet, Refused
from shared.web.problems import BadRequest
from shared.web.requests import StrictRequest

KEEP = timedelta(hours=48)
_STORED_HEADERS = ("etag", "location", "content-type")
_CLAIM = text(
    """
    INSERT INTO idempotency (org_id, subject, route, key, fingerprint, created_at)
    VALUES (:org, :subject, :route, :key, :fingerprint, :now) ON CONFLICT DO NOTHING RETURNING 1
    """
)
_STORED_SQL = """
    SELECT fingerprint, status, headers, body FROM idempotency
    WHERE org_id = {} AND subject = {} AND route = {} AND key = {}
    """
_FINISH_SQL = """
    UPDATE idempotency SET status = {}, headers = CAST({} AS jsonb), body = {}
    WHERE org_id = {} AND subject = {} AND route = {} AND key = {}
    """
_STORED = text(_STORED_SQL.format(":org", ":subject", ":route", ":key"))
_STORED_DIRECT = _STORED_SQL.format("$1", "$2", "$3", "$4")
_FINISH = text(_FINISH_SQL.format(":status", ":headers", ":body", ":org", ":subject", ":route", ":key"))
_FINISH_DIRECT = _FINISH_SQL.format("$2", "$3", "$4", "$5", "$6", "$7", "$8")
_EXPIRE = text(
    """
    DELETE FROM idempotency WHERE (org_id, subject, route, key) IN (
      SELECT org_id, subject, route, key FROM idempotency WHERE created_at < :before LIMIT :batch FOR UPDATE SKIP LOCKED)
    RETURNING 1
    """
)
EXPIRE_BATCH = 5000


@dataclass(frozen=True)
class Claimant:
    """Whose idempotency key it is, and the key, where there is one."""

    org_id: UUID
    subject: str
    key: str | None


def read_claim(request: StrictRequest, claimant: Claimant, route: str) -> Claim | None:
    """The request's idempotency key, or None where it has none. Its body has been received."""
    key = claimant.key
    if key is None or request.method != "POST":
        return None
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable() or key.isspace():
        raise BadRequest(
            "malformed_idempotency_key", "Idempotency-Key takes 1 to 255 visible ASCII characters."
        )
    digest = hashlib.sha256(request.scope["path"].encode() + b"\0" + request.scope["query_string"] + b"\0")
    digest.update(request.headers.get("if-match", "").encode() + b"\0" + request.digest.digest())
    return Claim(str(claimant.org_id), claimant.subject, route, key, digest.hexdigest())


async def once(
    session: AsyncSession, claim: Claim | None, now: datetime, run: Callable[[], Awaitable[Response]]
) -> Response:
    """Run the request, or give the stored answer of the same request again."""
    if claim is None:
        return await run()
    parameters = claim.parameters()
    claimed = await session.execute(_CLAIM, parameters | {"fingerprint": claim.fingerprint, "now": now})
    if claimed.first() is None:
        return await _replay(session, claim)
    response = await run()
    await _finish(session, parameters, response)
    return response


async def once_direct(
    transaction: Direct, claim: Claim | None, run: Callable[[], Awaitable[Response]]
) -> Response:
    """As `once`, where the claim was made in the statement that opened the transaction; writes what was gathered."""
    if claim is None:
        response = await run()
        await transaction.write()
        return response
    if transaction.is_repeated:
        stored = await transaction.one(_STORED_DIRECT, *claim.parameters().values())
        return _given_again(claim, *stored) if stored else _given_again(claim)
    response = await run()
    parameters = (*_kept(response).values(), *claim.parameters().values())
    await transaction.write(Statement(_FINISH_DIRECT, parameters))
    return response


async def remember_refusal(session: AsyncSession, claim: Claim, now: datetime, response: Response) -> None:
    """Store a business refusal whose own transaction was rolled back, unless a twin stored an answer."""
    parameters = claim.parameters()
    claimed = await session.execute(_CLAIM, parameters | {"fingerprint": claim.fingerprint, "now": now})
    if claimed.first() is not None:
        await _finish(session, parameters, response)


async def expire(session: AsyncSession, now: datetime) -> int:
    """Forget keys after 48 hours, a batch at a time; how many."""
    expired = await session.execute(_EXPIRE, {"before": now - KEEP, "batch": EXPIRE_BATCH})
    return len(expired.all())


async def _finish(session: AsyncSession, parameters: dict[str, object], response: Response) -> None:
    await session.execute(_FINISH, _kept(response) | parameters)


def _kept(response: Response) -> dict[str, object]:
    """What is stored of an answer; the body of one that must not be stored is not."""
    headers = {name: response.headers[name] for name in _STORED_HEADERS if name in response.headers}
    body = None if response.headers.get("cache-control") == "no-store" else bytes(response.body)
    return {"status": response.status_code, "headers": orjson.dumps(headers).decode(), "body": body}


async def _replay(session: AsyncSession, claim: Claim) -> Response:
    stored = (await session.execute(_STORED, claim.parameters())).one_or_none()
    return _given_again(claim, *stored) if stored else _given_again(claim)


def _given_again(
    claim: Claim,
    fingerprint: str = "",
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Response:
    """The stored answer, as the columns of its row; without a row or a status it is still being worked on."""
    if status is None:
        raise NotYet(
            "request_in_progress", "The same request is still being worked on. Repeat it in a moment."
        )
    if fingerprint != claim.fingerprint:
        raise Invalid(
            "idempotency_key_reused", "This Idempotency-Key came with another request. Use a new key."
        )
    if body is None:
        raise Refused(
            "answer_not_kept", "It was done. The answer held a secret that is shown once and kept nowhere."
        )
    return Response(body, status, headers={**(headers or {}), "Idempotency-Replayed": "true"})
