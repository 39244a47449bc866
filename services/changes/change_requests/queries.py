"""The selects of the change log that deserve a name."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, cast, func, inspect, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import contains_eager

from services.changes.change_requests.domain import DECIDED, ChangeState
from services.changes.change_requests.models import ChangeRequest
from services.changes.matters.domain.states import MatterState
from services.changes.matters.models import Matter
from shared.contracts.governance import Severity
from shared.data.built import json_object
from shared.data.listing import Listing, any_of

OF_MATTER = ("body", "body_name", "tier", "computed_body", "escalation_id")
CLOCK_MOMENTS = ("starts_at", "warns_at", "ends_at", "warned_at", "expired_at")


def change_requests(
    *,
    charter_id: Sequence[UUID] | None = None,
    state: Sequence[ChangeState] | None = None,
    body: Sequence[str] | None = None,
    severity: Sequence[Severity] | None = None,
) -> Listing[ChangeRequest]:
    """The log, each request joined with its matter. Each filter takes any of several values; none does not restrict."""
    wanted = (
        select(ChangeRequest)
        .outerjoin(ChangeRequest.matter)
        .where(
            *any_of(ChangeRequest.charter_id, charter_id),
            *any_of(ChangeRequest.state, state),
            *any_of(Matter.body, body),
            *any_of(ChangeRequest.severity, severity),
        )
    )
    return Listing(wanted, ChangeRequest)


def with_matters(**filters: Any) -> Listing[ChangeRequest]:
    """The same, with each request's matter loaded."""
    wanted = change_requests(**filters)
    return replace(wanted, statement=wanted.statement.options(contains_eager(ChangeRequest.matter)))


def item(fields: Iterable[str]) -> ColumnElement[Any]:
    """These fields of a change request and its matter as JSON, as the objects have them; a test holds the two together."""
    columns = inspect(ChangeRequest).columns
    is_decided = ChangeRequest.state.in_(DECIDED)
    special: dict[str, Any] = {
        "priority": json_object(
            {"impact": ChangeRequest.priority_impact, "urgency": ChangeRequest.priority_urgency}
        ),
        **{name: getattr(Matter, name) for name in OF_MATTER},
        "explanation": func.coalesce(Matter.explanation, func.jsonb_build_array()),
        "clock": _clock(),
        "decision_id": case((is_decided, Matter.decision_id)),
        "decided_at": case((is_decided, Matter.decided_at)),
    }
    return json_object({name: special[name] if name in special else columns[name] for name in fields})


def _clock() -> ColumnElement[Any]:
    """As `Matter.clock` gives it: the moments and the rule that set them, while the matter is open."""
    moments = {name: getattr(Matter, f"clock_{name}") for name in CLOCK_MOMENTS}
    is_running = and_(Matter.state == MatterState.open, Matter.clock_rule.is_not(None))
    return case((is_running, cast(json_object(moments), JSONB).concat(Matter.clock_rule)))
