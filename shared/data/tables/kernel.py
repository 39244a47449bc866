"""The kernel's tables, present in every service's schema: their one definition, from which the first migration makes them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

HASH_OF_TEXT = "content_hash = encode(sha256(text), 'hex')"
"""A signed text is its bytes: the database itself refuses a hash that is not theirs."""


def _instant(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False)


def _text(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Text, nullable=nullable)


def kernel_tables(metadata: MetaData) -> None:
    """Declare the kernel's tables in a service's metadata (messaging declares its own beside them)."""
    _people(metadata)
    _charters(metadata)
    _requests(metadata)
    _audit(metadata)


def _people(metadata: MetaData) -> None:
    """Organizations and their members, as every service keeps them from events."""
    Table(
        "organization",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("version", Integer, nullable=False),
        _text("name"),
        _text("aid", nullable=True),
        _instant("created_at"),
        _instant("updated_at"),
    )
    Table(
        "member",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("org_id", Uuid, nullable=False),
        _text("issuer"),
        _text("subject"),
        _text("display_name"),
        Column("roles", ARRAY(Text), nullable=False),
        Column("active", Boolean, nullable=False),
        _instant("created_at"),
        _instant("updated_at"),
        # Who has left may come back, to any organization; nobody is in two at a time.
        Index("uq_member_identity", "issuer", "subject", unique=True, postgresql_where=text("active")),
        Index("ix_member_org_id", "org_id"),
    )


def _charters(metadata: MetaData) -> None:
    """Who takes part in which charter, and the charters in force, as every service keeps them from events."""
    Table(
        "charter_party",
        metadata,
        Column("charter_id", Uuid, nullable=False),
        Column("org_id", Uuid, nullable=False),
        _text("side"),
        Column("joined", Boolean, nullable=False),
        PrimaryKeyConstraint("charter_id", "org_id"),
        Index("ix_charter_party_org_id", "org_id"),
    )
    Table(
        "governed_charter",
        metadata,
        Column("charter_id", Uuid, nullable=False),
        Column("charter_version", Integer, nullable=False),
        _text("number"),
        _text("content_hash"),
        Column("customer_org_id", Uuid, nullable=False),
        Column("provider_org_id", Uuid, nullable=False),
        Column("effective_date", Date, nullable=False),
        Column("text", LargeBinary, nullable=False),
        Column("text_format", Integer, nullable=False),
        PrimaryKeyConstraint("charter_id", "charter_version"),
        CheckConstraint(HASH_OF_TEXT, name="content_hash"),
    )


def _requests(metadata: MetaData) -> None:
    """What requests leave for later ones: first answers by idempotency key, and numbers given out."""
    Table(
        "idempotency",
        metadata,
        Column("org_id", Uuid, nullable=False),
        _text("subject"),
        _text("route"),
        _text("key"),
        _text("fingerprint"),
        Column("status", SmallInteger, nullable=True),
        Column("headers", JSONB, nullable=True),
        Column("body", LargeBinary, nullable=True),
        _instant("created_at"),
        PrimaryKeyConstraint("org_id", "subject", "route", "key"),
        Index("ix_idempotency_created_at", "created_at"),
    )
    Table(
        "number_series",
        metadata,
        Column("charter_id", Uuid, nullable=False),
        _text("prefix"),
        Column("fiscal_year", Integer, nullable=False),
        Column("last", Integer, nullable=False),
        PrimaryKeyConstraint("charter_id", "prefix", "fiscal_year"),
    )


def _audit(metadata: MetaData) -> None:
    """Every act, in chains; and the signed checkpoints of those."""
    Table(
        "audit",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("chain", Uuid, nullable=False),
        Column("customer_org_id", Uuid, nullable=True),
        Column("provider_org_id", Uuid, nullable=True),
        _text("visibility"),
        _instant("at"),
        _text("action"),
        _text("object_type"),
        Column("object_id", Uuid, nullable=False),
        Column("object_version", Integer, nullable=False),
        _text("canonical"),
        Column("seq", BigInteger, nullable=True),
        Column("hash", LargeBinary, nullable=True),
        UniqueConstraint("chain", "visibility", "seq"),
        Index("ix_audit_object_id", "object_id"),
        Index("ix_audit_unsealed", "id", postgresql_where=text("seq IS NULL")),
    )
    Table(
        "audit_checkpoint",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("chain", Uuid, nullable=False),
        Column("customer_org_id", Uuid, nullable=True),
        Column("provider_org_id", Uuid, nullable=True),
        _text("visibility"),
        Column("seq", BigInteger, nullable=False),
        _instant("at"),
        _text("statement"),
        Column("signature", LargeBinary, nullable=False),
        _text("key_id"),
        UniqueConstraint("chain", "visibility", "seq"),
    )
