"""Observations: bulk and streamed, as CSV, NDJSON or JSON."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from services.sla.observations import policy
from services.sla.observations.schemas import Ingested
from services.sla.observations.service.intake import OnError, ingest
from services.sla.observations.service.rows import READERS
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.bodies import Upload, accepts
from shared.web.route import new_router

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
_ITEMS = {
    "type": "object",
    "required": ["items"],
    "properties": {"items": {"type": "array", "items": {"type": "object"}}},
}
_CONTENT: dict[str, dict[str, object]] = {
    "text/csv": {"schema": _TEXT, "example": _CSV},
    "application/x-ndjson": {"schema": _TEXT},
    "application/json": {"schema": _ITEMS, "example": {"items": [_PROBE]}},
}


@router.post("/slas/{sla_id}/observations", max_body_size=5 * 1024 * 1024)
async def create_observations(
    sla_id: UUID,
    upload: Annotated[Upload, accepts(_CONTENT)],
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.WRITE_OBSERVATIONS)],
    on_error: Annotated[OnError, Query()] = OnError.keep,
) -> Ingested:
    """Take in observations, at most 5 MiB a request. Repeating a request changes nothing.

    The key of an observation is `source`, `source_id` and `version`; the greatest version is in
    effect, and `deleted: true` takes one back. With `on_error=refuse` one bad row refuses them all, more than a thousand
    do so always.
    """
    reader = READERS[upload.media_type]()
    return await ingest(session, caller, sla_id, reader, upload.pieces(), on_error, now)
