"""The table of observations."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.sla.base import Base
from services.sla.observations.domain.observation import ObservationKind
from shared.data.session import EnumText

_IN_EFFECT = text("NOT deleted")
_LASTING = text("NOT deleted AND kind <> 'probe'")


class ObservationRow(Base):
    """One version of one observation; the greatest version of a key is in effect, the others are history."""

    __tablename__ = "observation"
    __table_args__ = (
        CheckConstraint("deleted OR (occurred_at IS NOT NULL AND service <> '')", name="complete"),
        # Both leave tombstones out, so that neither can serve a look-up by key: on statistics that are missing or out
        # of date the planner takes any index that begins like the key, and reads the whole SLA for every row.
        Index("ix_observation_in_time", "sla_id", "service", "occurred_at", postgresql_where=_IN_EFFECT),
        Index("ix_observation_lasting", "sla_id", "service", "occurred_at", postgresql_where=_LASTING),
    )

    sla_id: Mapped[UUID] = mapped_column(ForeignKey("sla.id"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    source_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[ObservationKind] = mapped_column(EnumText(ObservationKind))
    service: Mapped[str]
    occurred_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    value: Mapped[Decimal | None]
    good: Mapped[bool | None]
    attributes: Mapped[dict[str, Any]]
    pauses: Mapped[list[Any]]
    deleted: Mapped[bool]
    fingerprint: Mapped[str]
    received_at: Mapped[datetime]
    received_by: Mapped[UUID]
    charter_id: Mapped[UUID]
    customer_org_id: Mapped[UUID]
    provider_org_id: Mapped[UUID]
    visibility: Mapped[str]
