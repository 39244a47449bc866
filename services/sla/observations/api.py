"""Observations: bulk and streamed, as CSV, NDJSON or JSON."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request

from services.sla.observations import policy
from services.sla.observations.schemas import Ingested
from services.sla.observations.service.intake import OnError, ingest
from services.sla.observations.service.rows import READERS
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.app import new_router
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.problems import UnsupportedMedia

router = new_router("observations", prefix="/sla/v1")

_PROBE = {
    "source": "status-page",
    "source_id": "payroll@2026-10-01T12:00:00Z",
    "version": 1,
    "kind": "probe",
    "service": "payroll",
    "occurred_at": "2026-10-01T12:00:00Z",
    "good": True,
    "value": "378",
    "attributes": {"http_status": "200"},
}
_CSV = (
    "source,source_id,kind,service,occurred_at,good\nstatus-page,1,probe,payroll,2026-10-01T12:00:00Z,true\n"
)
_TEXT = {"type": "string"}
_BODY: dict[str, Any] = {
    "x-max-body-bytes": 5_242_880,
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": _TEXT, "example": _CSV},
            "application/x-ndjson": {"schema": _TEXT},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["items"],
                    "properties": {"items": {"type": "array", "items": {"type": "object"}}},
                },
                "example": {"items": [_PROBE]},
            },
        },
    },
}


@router.post("/slas/{sla_id}/observations", openapi_extra=_BODY)
async def create_observations(
    sla_id: UUID,
    request: Request,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.WRITE_OBSERVATIONS)],
    on_error: Annotated[OnError, Query()] = OnError.keep,
) -> Ingested:
    """Take in observations, at most 5 MiB a request. Repeating a request changes nothing.

    The key of an observation is `source`, `source_id` and `version`; the greatest version is in
    effect, and `deleted: true` takes one back. With `on_error=refuse` one bad row refuses them all.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in READERS or request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMedia("unsupported_media_type", f"Send one of {', '.join(READERS)}, uncompressed.")
    return await ingest(session, caller, sla_id, READERS[kind](), request.stream(), on_error, now)
