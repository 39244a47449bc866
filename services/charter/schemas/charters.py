"""Charters, signatures and reviews, in and out."""

from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from services.charter.domain.states import CharterState
from services.charter.schemas.content import ExecutableCharterIn, ModelCharterIn
from shared.contracts.governance import Party, Role
from shared.reviews.domain import Determination, ReviewState
from shared.web.pages import Page
from shared.web.schemas import In, LongText, Out

ContentHash = Annotated[
    str, Field(strict=True, pattern=r"^[0-9a-f]{64}$", examples=["9f86d0818841...15b0f00a08"])
]
Reason = Annotated[LongText, Field(min_length=1)]


class CharterCreate(In):
    """A new draft: either a whole text (`content`), or the model text (`from_model`)."""

    customer_org_id: UUID
    provider_org_id: UUID
    observer_org_ids: Annotated[list[UUID], Field(max_length=50)] = Field(default_factory=list)
    content: ExecutableCharterIn | None = None
    from_model: ModelCharterIn | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.content is None) == (self.from_model is None):
            raise ValueError("give exactly one of content and from_model")
        return self


class CharterSign(In):
    content_hash: ContentHash
    role: Role


class CharterDecline(In):
    reason: Reason


class Signature(Out):
    party: Party
    role: Role
    member_id: UUID
    display_name: str
    content_hash: str
    signed_at: datetime


class Signatory(Out):
    party: Party
    role: Role


class CharterSummary(Out):
    """A charter in a list. `findings_count` is as of the last change to its text."""

    id: UUID
    version: int
    number: str
    title: str
    state: CharterState
    charter_version: int
    customer_org_id: UUID
    provider_org_id: UUID
    observer_org_ids: list[UUID]
    content_hash: str
    findings_count: int
    effective_date: date
    next_review_due: date
    activates_at: datetime | None
    activated_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Charter(CharterSummary):
    """A charter with its signatures. Read its text at `/charters/{id}/content`."""

    signatures: list[Signature]
    missing_signatories: list[Signatory]


class CharterPage(Page[CharterSummary]):
    """One page of charters."""


class FindingOut(Out):
    """A broken rule; `pointer` is a JSON pointer (RFC 6901) into the text."""

    code: str
    message: str
    pointer: str


class Validation(Out):
    """Every rule the text breaks; empty when it may be frozen."""

    findings: list[FindingOut]


class ReviewDetermine(In):
    outcome: Determination
    rationale: Reason


class ReviewStatement(Out):
    party: Party
    outcome: Determination
    rationale: str
    member_id: UUID
    stated_at: datetime


class CharterReview(Out):
    """A yearly review. It closes when the Business Owners of both parties determine the same outcome."""

    id: UUID
    version: int
    charter_id: UUID
    due: date
    state: ReviewState
    is_overdue: bool
    raised: list[str]
    statements: list[ReviewStatement]
    outcome: Determination | None
    determined_at: datetime | None
    created_at: datetime
    updated_at: datetime
