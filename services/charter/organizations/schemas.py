"""Organizations, in and out."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from shared.web.pages import Page
from shared.web.schemas import In, Out, Text


class OrganizationCreate(In):
    name: Text
    aid: Annotated[
        str | None,
        Field(strict=True, pattern=r"^\d{3}$", description="three-digit agency identifier", examples=["047"]),
    ] = None


class Organization(Out):
    id: UUID
    version: int
    name: str
    aid: str | None
    created_at: datetime
    updated_at: datetime


class OrganizationPage(Page[Organization]):
    """One page of organizations."""
