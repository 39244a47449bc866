"""The tables every service keeps for its own messages, and those of the log that stands in for Kafka.

No table names a schema: the connection's search_path puts them where the service lives.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

NOW = text("clock_timestamp()")
INSTANT = DateTime(timezone=True)


def messaging_tables(metadata: MetaData) -> None:
    """Declare the messaging tables in a service's metadata."""
    _events(metadata)
    _inbox(metadata)
    _dead_letters(metadata)


def _events(metadata: MetaData) -> None:
    Table(
        "event",
        metadata,
        # A cache above 1 would hand positions out of order between sessions.
        Column("position", BigInteger, Identity(cache=1), primary_key=True),
        Column("event_id", UUID, nullable=False),
        Column("topic", Text, nullable=False),
        Column("source", Text, nullable=False),
        Column("event_type", Text, nullable=False),
        Column("aggregate_type", Text, nullable=False),
        Column("aggregate_id", UUID, nullable=False),
        Column("aggregate_version", BigInteger, nullable=False),
        Column("at", INSTANT, nullable=False),
        Column("charter_id", UUID),
        Column("customer_org_id", UUID),
        Column("provider_org_id", UUID),
        Column("visibility", Text, nullable=False),
        Column("traceparent", Text),
        # The bytes as they were, and will always be, published: a signature is over these.
        Column("payload", LargeBinary, nullable=False),
        Column("key_id", Text),
        Column("signature", LargeBinary),
        Column("written_at", INSTANT, nullable=False, server_default=NOW),
        CheckConstraint("aggregate_version > 0", name="version_positive"),
        UniqueConstraint("event_id", name="event_event_id"),
        UniqueConstraint("aggregate_id", "aggregate_version", name="event_version"),
        Index("event_of_type", "event_type", "position"),
        Index("event_of_charter", "charter_id", "position", postgresql_where=text("charter_id IS NOT NULL")),
    )
    Table(
        "outbox",
        metadata,
        Column("shard", SmallInteger, primary_key=True),
        Column("position", BigInteger, primary_key=True),
        Column("attempts", Integer, nullable=False, server_default=text("0")),
        Column("last_error", Text),
        # A queue dies of dead tuples long before the default thresholds vacuum it.
        postgresql_with={
            "autovacuum_vacuum_scale_factor": 0,
            "autovacuum_vacuum_threshold": 1000,
            "autovacuum_vacuum_insert_scale_factor": 0,
            "autovacuum_vacuum_cost_delay": 0,
        },
    )


def _inbox(metadata: MetaData) -> None:
    Table(
        "inbox",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("event_id", UUID, primary_key=True),
        Column("source", Text, nullable=False),
        Column("aggregate_id", UUID, nullable=False),
        Column("aggregate_version", BigInteger, nullable=False),
        Column("topic", Text),
        Column("part", Integer),
        Column("off", BigInteger),
        Column("processed_at", INSTANT, nullable=False, server_default=NOW),
        Column("outcome", Text, nullable=False),
        CheckConstraint("outcome IN ('done', 'stale', 'parked', 'dead', 'ignored')", name="outcome"),
        Index("inbox_processed_at", "processed_at"),
    )
    Table(
        "consumed_version",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("aggregate_id", UUID, primary_key=True),
        Column("projection", Text, primary_key=True),
        Column("version", BigInteger, nullable=False),
    )


def _dead_letters(metadata: MetaData) -> None:
    Table(
        "dead_letter",
        metadata,
        Column("id", UUID, primary_key=True),
        Column("consumer", Text, nullable=False),
        Column("event_id", UUID),
        Column("event_type", Text),
        Column("aggregate_id", UUID),
        Column("aggregate_version", BigInteger),
        Column("topic", Text, nullable=False),
        Column("part", Integer, nullable=False),
        Column("off", BigInteger, nullable=False),
        Column("key", LargeBinary),
        Column("headers", JSONB, nullable=False),
        Column("value", LargeBinary),
        Column("error_class", Text, nullable=False),
        Column("error", Text, nullable=False),
        Column("first_at", INSTANT, nullable=False),
        Column("last_at", INSTANT, nullable=False),
        Column("tries", Integer, nullable=False),
        Column("state", Text, nullable=False, server_default=text("'new'")),
        Column("decided_by", Text),
        Column("decided_at", INSTANT),
        Column("reason", Text),
        CheckConstraint("state IN ('new', 'replayed', 'discarded')", name="state"),
        Index("dead_letter_waiting", "consumer", "aggregate_id", "aggregate_version", "off"),
        Index("dead_letter_place", "consumer", "topic", "part", "off"),
    )
    Table(
        "parked_key",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("aggregate_id", UUID, primary_key=True),
        Column("since", INSTANT, nullable=False),
    )


# Each may be repeated; `provision` does so while the newest table is missing.
BUS: Final[tuple[str, ...]] = (
    "CREATE SCHEMA IF NOT EXISTS bus",
    """
    CREATE TABLE IF NOT EXISTS bus.bus_event (
      seq bigint PRIMARY KEY,
      topic text NOT NULL,
      key bytea,
      shard smallint NOT NULL,
      event_id uuid NOT NULL UNIQUE,
      value bytea,
      headers jsonb NOT NULL,
      at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    "CREATE INDEX IF NOT EXISTS bus_event_partition ON bus.bus_event (topic, shard, seq)",
    """
    CREATE TABLE IF NOT EXISTS bus.bus_head (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      last_seq bigint NOT NULL
    )
    """,
    "INSERT INTO bus.bus_head (last_seq) VALUES (0) ON CONFLICT DO NOTHING",
    """
    CREATE TABLE IF NOT EXISTS bus.bus_partition (
      topic text,
      shard smallint,
      last_seq bigint NOT NULL,
      PRIMARY KEY (topic, shard)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS bus.bus_group (
      grp text,
      topic text,
      shard smallint,
      seq bigint NOT NULL DEFAULT 0,
      PRIMARY KEY (grp, topic, shard)
    )
    """,
    """
    INSERT INTO bus.bus_partition (topic, shard, last_seq)
    SELECT topic, shard, max(seq) FROM bus.bus_event GROUP BY topic, shard ON CONFLICT DO NOTHING
    """,
)
