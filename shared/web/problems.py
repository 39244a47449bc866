"""Every refusal a client can meet, as an RFC 9457 problem document with a stable `code`."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Final

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from shared.data.database_errors import DatabaseError, kind_of
from shared.pure.refusal import Finding, Forbidden, Invalid, Missing, NotYet, Refusal, Refused, Stale
from shared.web.validation import MOST_FINDINGS, findings_of

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://concordat.invalid/problems/"
RETRY_SOON: Final = {"Retry-After": "2"}
PROBLEM = "concordat.problem"
"""Where in the ASGI scope the code of the answer stands, for the access log."""


STATUS: Final[Mapping[type[Refusal], HTTPStatus]] = {
    Refused: HTTPStatus.CONFLICT,
    NotYet: HTTPStatus.CONFLICT,
    Stale: HTTPStatus.PRECONDITION_FAILED,
    Missing: HTTPStatus.NOT_FOUND,
    Forbidden: HTTPStatus.FORBIDDEN,
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    Refusal: HTTPStatus.CONFLICT,
}
"""What each way to say no is in HTTP; `shared/messaging/failures.py` has the table for messages."""


class Problem(BaseModel):
    """What every error answer looks like (RFC 9457), for clients generated from the API document."""

    type: str = Field(examples=[TYPE_BASE + "not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such change request, or you may not see it."])
    code: str = Field(examples=["not_found"], description="Stable machine-readable name. Extensible enum.")
    instance: str = Field(examples=["/changes/v1/change_requests/0198"])
    request_id: str
    errors: list["ProblemItem"] = Field(default_factory=list)


class ProblemItem(BaseModel):
    """One finding; `pointer` says where in the request it is."""

    code: str
    message: str
    pointer: str


class ApiError(HTTPException):
    """What only HTTP can refuse: its own grammar, media types and tokens. Use cases raise a `Refusal`."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(self, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(self.status, message, headers=dict(headers or {}))
        self.code = code


class BadRequest(ApiError):
    status = HTTPStatus.BAD_REQUEST


class Unauthorized(ApiError):
    """A token that proves nothing; the answer does not say why (RFC 6750, 3.1)."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(
        self,
        code: str = "invalid_token",
        message: str = "The token is not valid here, or no longer. Get a new one from your identity provider.",
        challenge: str = 'Bearer error="invalid_token"',
    ) -> None:
        super().__init__(code, message, headers={"WWW-Authenticate": challenge})


class TokenMissing(Unauthorized):
    """No token at all: the challenge names no error then (RFC 6750, 3)."""

    def __init__(self) -> None:
        super().__init__(
            "unauthenticated", "Send `Authorization: Bearer <token>` with the request.", "Bearer"
        )


class PreconditionRequired(ApiError):
    status = HTTPStatus.PRECONDITION_REQUIRED

    def __init__(self) -> None:
        super().__init__("if_match_required", "Send If-Match with the ETag you read.")


class TooLarge(ApiError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMedia(ApiError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Unavailable(ApiError):
    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            "unavailable",
            "A part we depend on does not answer. Repeat the request with the same Idempotency-Key: it may be done.",
            headers=RETRY_SOON,
        )


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    findings: Sequence[Finding] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The problem document of one refusal. Input values are never echoed."""
    request.scope[PROBLEM] = code
    body = {
        "type": TYPE_BASE + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": request.url.path,
        "request_id": request.scope.get("request_id", ""),
        "errors": [asdict(finding) for finding in findings[:MOST_FINDINGS]],
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def refusal_response(request: Request, error: ApiError | Refusal) -> JSONResponse:
    """The answer to a refusal, by the table of statuses or the error's own."""
    if isinstance(error, ApiError):
        return problem(request, error.status_code, error.code, str(error.detail), headers=error.headers)
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    headers = RETRY_SOON if isinstance(error, NotYet) else None
    return problem(request, status, error.code, error.message, error.findings, headers)


_CODES = {
    400: "bad_request",
    404: "no_such_route",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
_NETWORK: Final = (ConnectionError, TimeoutError, socket.gaierror, asyncio.IncompleteReadError)


async def _on_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError | Refusal)
    return refusal_response(request, error)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    headers = dict(error.headers or {})
    if "GET" in headers.get("Allow", ""):
        headers["Allow"] += ", HEAD"
    return problem(request, error.status_code, code, str(error.detail), headers=headers)


async def _on_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    detail = "The request does not fit the API document; see errors."
    return problem(request, 422, "invalid", detail, findings_of(error))


async def _on_database(request: Request, error: Exception) -> JSONResponse:
    """What the data of the request caused is explained; what the program got wrong is a failure of ours."""
    match kind_of(error):
        case DatabaseError.CLASH:
            log.info("clash", error=type(error).__name__)
            return problem(request, 409, "conflict", "It clashes with something that exists already.")
        case DatabaseError.UNFIT:
            return problem(request, 422, "invalid", "A value is out of the range that can be stored.")
        case DatabaseError.UNAVAILABLE | DatabaseError.CANCELLED:
            log.warning("dependency_unavailable", error=type(getattr(error, "orig", error)).__name__)
            return refusal_response(request, Unavailable())
    return await unexpected(request, error)


async def unexpected(request: Request, error: Exception) -> JSONResponse:
    """The answer to an error that nobody foresaw; the log has its traceback."""
    log.error("unexpected", exc_info=error)
    return problem(request, 500, "internal", "Something went wrong on our side. Nothing was stored.")


def install(app: FastAPI) -> None:
    """Answer every exception with a problem document."""
    for kind, handler in (
        (ApiError, _on_refusal),
        (Refusal, _on_refusal),
        (HTTPException, _on_http),
        (RequestValidationError, _on_validation),
        *((kind, _on_database) for kind in (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError)),
        *((kind, _on_database) for kind in _NETWORK),
        (Exception, unexpected),
    ):
        app.add_exception_handler(kind, handler)
