"""A matter that this service has put, as a row of the kernel's table."""

from uuid import UUID

from sqlalchemy.orm import DeclarativeBase, Mapped

from shared.data.session import TYPE_MAP, Governed
from shared.data.tables import new_metadata
from shared.matters.states import AwaitedMatterState


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPE_MAP


class AwaitedMatter(Governed, Base):
    """What a body is asked to decide about a subject of this service; its id is that of the matter.

    `decision_id` is the last decision that came, whether it was applied or sent back.
    """

    __table__ = Base.metadata.tables["awaited_matter"]

    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    decision_class: Mapped[str]
    text: Mapped[bytes]
    text_format: Mapped[int]
    content_hash: Mapped[str]
    state: Mapped[AwaitedMatterState]
    decision_id: Mapped[UUID | None]
    outcome: Mapped[str | None]
