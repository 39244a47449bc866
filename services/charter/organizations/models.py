"""Organizations live in the kernel's table of that name, which every service has."""

from typing import TYPE_CHECKING

from sqlalchemy.orm import Mapped

from services.charter.base import Base
from shared.data.session import Versioned


class Organization(Versioned, Base):
    """An agency or provider."""

    __table__ = Base.metadata.tables["organization"]

    if TYPE_CHECKING:
        name: Mapped[str]
        aid: Mapped[str | None]
