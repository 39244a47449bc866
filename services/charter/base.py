"""What every table of the charter service is declared on."""

from sqlalchemy.orm import DeclarativeBase

from shared.data.session import TYPE_MAP
from shared.data.tables import new_metadata


class Base(DeclarativeBase):
    """The service's tables, with the kernel's beside them."""

    metadata = new_metadata()
    type_annotation_map = TYPE_MAP
