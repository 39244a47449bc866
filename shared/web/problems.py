"""Every refusal a client can meet, as an RFC 9457 problem document with a stable `code`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus

import structlog
from asyncpg.exceptions import InterfaceError as ConnectionUnusable
from asyncpg.exceptions import PostgresConnectionError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from shared.pure.refusal import Refusal

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://concordat.invalid/problems/"
RETRY_AFTER_SECONDS = "2"
MOST_FINDINGS = 100  # of a refused request; an answer must not be forty times its question
PROBLEM = "concordat.problem"
"""Where in the ASGI scope the code of the answer stands, for the access log."""


@dataclass(frozen=True)
class Finding:
    """One thing wrong with the input; `pointer` is an RFC 6901 JSON pointer into it."""

    code: str
    message: str
    pointer: str = ""


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
    """A refusal with its HTTP status. Raise one of the subclasses."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(
        self,
        code: str,
        message: str,
        *,
        findings: Sequence[Finding] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(self.status, message, headers=dict(headers or {}))
        self.code = code
        self.findings = tuple(findings)


class BadRequest(ApiError):
    status = HTTPStatus.BAD_REQUEST


class Unauthorized(ApiError):
    """No usable token; the answer says no more than that (RFC 6750)."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self) -> None:
        super().__init__(
            "unauthenticated",
            "Send a valid bearer token in the Authorization header.",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )


class Forbidden(ApiError):
    status = HTTPStatus.FORBIDDEN


class NotFound(ApiError):
    """Missing, or not to be seen by the caller: both read the same."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, what: str) -> None:
        super().__init__("not_found", f"There is no such {what}, or you may not see it.")


class Conflict(ApiError):
    status = HTTPStatus.CONFLICT


class PreconditionFailed(ApiError):
    status = HTTPStatus.PRECONDITION_FAILED

    def __init__(self) -> None:
        super().__init__(
            "version_changed", "It changed since you read it. Read it again and repeat with the new ETag."
        )


class PreconditionRequired(ApiError):
    status = HTTPStatus.PRECONDITION_REQUIRED

    def __init__(self) -> None:
        super().__init__("if_match_required", "Send If-Match with the ETag you read.")


class TooLarge(ApiError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMedia(ApiError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Invalid(ApiError):
    """The input is well-formed but wrong; `findings` name every fault at once."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(
        self, code: str, message: str, pointer: str | None = None, findings: Sequence[Finding] = ()
    ) -> None:
        own = (Finding(code, message, pointer),) if pointer is not None else ()
        super().__init__(code, message, findings=(*own, *findings))


@contextmanager
def checking_input() -> Iterator[None]:
    """A rule about the input itself answers 422 at the refusal's pointer; elsewhere a `Refusal` is about state: 409."""
    try:
        yield
    except Refusal as refusal:
        raise Invalid(refusal.code, refusal.message, refusal.pointer or "") from None


class Unavailable(ApiError):
    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            "unavailable",
            "A part we depend on does not answer. Repeat the request with the same Idempotency-Key: it may be done.",
            headers={"Retry-After": RETRY_AFTER_SECONDS},
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
        "errors": [asdict(finding) for finding in findings],
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def refusal_response(request: Request, error: ApiError | Refusal) -> JSONResponse:
    """The answer to a business refusal: 409 for a rule that says no, else the error's own status."""
    if isinstance(error, Refusal):
        where = (Finding(error.code, error.message, error.pointer),) if error.pointer is not None else ()
        return problem(request, HTTPStatus.CONFLICT, error.code, error.message, where)
    return problem(request, error.status_code, error.code, str(error.detail), error.findings, error.headers)


_DATA_EXCEPTION = "22"  # SQLSTATE class, which SQLAlchemy's driver for asyncpg does not tell apart
_CODES = {
    400: "bad_request",
    404: "no_such_route",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}


async def _on_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError | Refusal)
    return refusal_response(request, error)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, ApiError):
        return refusal_response(request, error)
    code = _CODES.get(error.status_code, "http_error")
    return problem(request, error.status_code, code, str(error.detail), headers=error.headers)


def _pointer(location: Sequence[int | str]) -> str:
    """A JSON pointer for pydantic's location; `query`/`path`/`header` places keep their first word."""
    parts = location[1:] if location and location[0] == "body" else location
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


async def _on_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[:MOST_FINDINGS]
    findings = [Finding(str(e["type"]), str(e["msg"]), _pointer(e["loc"])) for e in first]
    if any(f.code == "json_invalid" for f in findings):
        return problem(request, 400, "malformed_json", "The body is not valid JSON.", findings)
    return problem(
        request, 422, "invalid", "The request does not fit the API document; see errors.", findings
    )


async def _on_integrity(request: Request, error: Exception) -> JSONResponse:
    log.info("integrity_refused", error=type(error).__name__)
    return problem(request, 409, "conflict", "It clashes with something that exists already.")


async def _on_data(request: Request, error: Exception) -> JSONResponse:
    return problem(request, 422, "invalid", "A value is out of the range that can be stored.")


async def _on_unavailable(request: Request, error: Exception) -> JSONResponse:
    log.warning("dependency_unavailable", error=type(error).__name__)
    return refusal_response(request, Unavailable())


async def _on_database(request: Request, error: Exception) -> JSONResponse:
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    if state.startswith(_DATA_EXCEPTION):
        return await _on_data(request, error)
    log.warning("database_error", error=type(getattr(error, "orig", error)).__name__)
    return refusal_response(request, Unavailable())


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
        (IntegrityError, _on_integrity),
        (DataError, _on_data),
        (InterfaceError, _on_unavailable),
        (DBAPIError, _on_database),
        (PoolTimeout, _on_unavailable),
        (PostgresConnectionError, _on_unavailable),
        (ConnectionUnusable, _on_unavailable),  # it ended while the pool was setting it up
        (OSError, _on_unavailable),
        (Exception, unexpected),
    ):
        app.add_exception_handler(kind, handler)
