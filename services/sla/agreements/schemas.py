"""Agreements, in and out."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from services.sla.agreements.domain import AgreementKind
from shared.web.pages import Page
from shared.web.schemas import AsDate, Count, In, Money, Out, Text

Day = Annotated[date, Field(ge=date(1990, 1, 1), le=date(2140, 12, 31)), AsDate]


class AgreementCreate(In):
    """An instrument between the parties of a charter in force."""

    charter_id: UUID
    kind: AgreementKind
    gtc_number: Annotated[str, Field(max_length=20, examples=["A2610-990-991-000123"])] | None = None
    modification_number: Count = 0
    title: Text
    start_date: Day
    end_date: Day
    total_amount: Money | None = None
    termination_days: Annotated[int, Field(strict=True, ge=0, le=3660)]
    next_review_due: Annotated[
        Day | None, Field(description="where the instrument asks for its first review within the year")
    ] = None


class Agreement(Out):
    """An agreement; its review is at `/agreements/{id}/review`."""

    id: UUID
    version: int
    charter_id: UUID
    customer_org_id: UUID
    provider_org_id: UUID
    number: str
    kind: AgreementKind
    gtc_number: str | None
    modification_number: int
    title: str
    start_date: date
    end_date: date
    total_amount: Money | None
    termination_days: int
    next_review_due: date
    created_at: datetime
    updated_at: datetime


class AgreementPage(Page[Agreement]):
    """One page of agreements."""
