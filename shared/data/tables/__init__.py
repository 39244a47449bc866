"""The kernel's tables, present in every service's schema."""

from sqlalchemy import MetaData

from shared.data.tables.due import due_table
from shared.data.tables.kernel import kernel_tables
from shared.data.tables.matters import awaited_matter_table
from shared.data.tables.messaging import messaging_tables

NAMING = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


def new_metadata() -> MetaData:
    """Metadata of one service, with the kernel's tables already in it."""
    metadata = MetaData(naming_convention=NAMING)
    kernel_tables(metadata)
    messaging_tables(metadata)
    due_table(metadata)
    awaited_matter_table(metadata)
    return metadata
