"""The table of the matters that a service has put to a body and that are decided in another service."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)

from shared.data.session import EnumText
from shared.data.tables.kernel import HASH_OF_TEXT
from shared.matters.states import WAITING, AwaitedMatterState

INSTANT = DateTime(timezone=True)


def awaited_matter_table(metadata: MetaData) -> None:
    """Declare the table in a service's metadata; `shared.matters` reads and writes it."""
    Table(
        "awaited_matter",
        metadata,
        # The matter's own id and, as its version, what this service has said about it.
        Column("id", Uuid, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("created_at", INSTANT, nullable=False),
        Column("updated_at", INSTANT, nullable=False),
        Column("charter_id", Uuid, nullable=False, index=True),
        Column("customer_org_id", Uuid, nullable=False, index=True),
        Column("provider_org_id", Uuid, nullable=False, index=True),
        Column("visibility", Text, nullable=False),
        Column("subject_kind", Text, nullable=False),
        Column("subject_id", Uuid, nullable=False, index=True),
        Column("decision_class", Text, nullable=False),
        # What is decided upon, byte for byte: a decision names its hash.
        Column("text", LargeBinary, nullable=False),
        Column("text_format", Integer, nullable=False),
        Column("content_hash", Text, nullable=False),
        Column("state", EnumText(AwaitedMatterState), nullable=False),
        Column("decision_id", Uuid),
        Column("outcome", Text),
        CheckConstraint(HASH_OF_TEXT, name="content_hash"),
        Index(
            "uq_awaited_matter_waiting",
            "subject_id",
            unique=True,
            postgresql_where=text(f"state IN ({', '.join(map(repr, map(str, WAITING)))})"),
        ),
    )
