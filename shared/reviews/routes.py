"""The routes every reviewed thing has: its running review, and what the caller's party determines."""

from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Path, Response

from shared.data.session import Session
from shared.reviews.domain import SubjectKind
from shared.reviews.schemas import ReviewDetermine
from shared.reviews.service import Reviews
from shared.reviews.tables import ReviewRow
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Action, Principal
from shared.web.requests import IfMatch, tagged

R = TypeVar("R", bound=ReviewRow)


def review_routes(
    router: APIRouter, reviews: Reviews[R], kind: SubjectKind, path: str, shown: type[Any], read: Action
) -> None:
    """Add both routes below the subject's own `path`, which ends in its id; `shown` is the answer's class."""
    given = path.rpartition("{")[2].removesuffix("}")
    subject = Annotated[UUID, Path(alias=given)]

    async def current(
        subject_id: subject, response: Response, session: Session, caller: Annotated[Principal, allow(read)]
    ) -> R:
        """The running review, with what has been determined so far; when none runs, how the last one ended."""
        return tagged(response, await reviews.current(session, kind, subject_id))

    async def determine(
        subject_id: subject,
        form: ReviewDetermine,
        response: Response,
        session: Session,
        now: Now,
        expected: IfMatch,
        caller: Annotated[Principal, allow(reviews.policy)],
    ) -> R:
        """Determine the outcome for the caller's party; `If-Match` takes the ETag of the review.

        It closes when all that must have determined the same. The next review is due in 365 days at the latest, none
        after `terminate`.
        """
        return tagged(
            response, await reviews.determine(session, caller, kind, subject_id, form, expected, now)
        )

    # A function's name is the id of its operation.
    current.__name__, determine.__name__ = f"get_{kind}_review", f"determine_{kind}_review"
    router.get(f"{path}/review", response_model=shown)(current)
    router.post(f"{path}/review/determine", response_model=shown)(determine)
