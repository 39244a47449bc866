"""Members live in the kernel's table of that name, which every service has."""

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.orm import Mapped

from services.charter.base import Base
from shared.data.session import Versioned


class Member(Versioned, Base):
    """A person of one organization, known by the identity provider's issuer and subject."""

    __table__ = Base.metadata.tables["member"]

    if TYPE_CHECKING:
        org_id: Mapped[UUID]
        issuer: Mapped[str]
        subject: Mapped[str]
        display_name: Mapped[str]
        roles: Mapped[list[str]]
        active: Mapped[bool]

    @property
    def owner(self) -> UUID:
        return self.org_id
