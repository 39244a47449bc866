"""The kernel's tables, present in every service's schema, and the DDL a first migration runs.

Each version is history: later changes are later steps. The drift check compares what they lead to with
`kernel_tables()`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
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


def _instant(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False)


def _text(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Text, nullable=nullable)


def kernel_tables(metadata: MetaData) -> None:
    """Declare the kernel's tables in a service's metadata (messaging declares its own beside them)."""
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
        UniqueConstraint("issuer", "subject"),
        Index("ix_member_org_id", "org_id"),
    )
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
        Column("content", JSONB, nullable=False),
        PrimaryKeyConstraint("charter_id", "charter_version"),
    )
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
    Table(
        "number_series",
        metadata,
        Column("charter_id", Uuid, nullable=False),
        _text("prefix"),
        Column("fiscal_year", Integer, nullable=False),
        Column("last", Integer, nullable=False),
        PrimaryKeyConstraint("charter_id", "prefix", "fiscal_year"),
    )


KERNEL_V1 = (
    """
    CREATE TABLE organization (
      id uuid NOT NULL CONSTRAINT pk_organization PRIMARY KEY,
      version integer NOT NULL, name text NOT NULL, aid text,
      created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL)
    """,
    """
    CREATE TABLE member (
      id uuid NOT NULL CONSTRAINT pk_member PRIMARY KEY,
      version integer NOT NULL, org_id uuid NOT NULL, issuer text NOT NULL, subject text NOT NULL,
      display_name text NOT NULL, roles text[] NOT NULL, active boolean NOT NULL,
      created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
      CONSTRAINT uq_member_issuer_subject UNIQUE (issuer, subject))
    """,
    "CREATE INDEX ix_member_org_id ON member (org_id)",
    """
    CREATE TABLE charter_party (
      charter_id uuid NOT NULL, org_id uuid NOT NULL, side text NOT NULL,
      CONSTRAINT pk_charter_party PRIMARY KEY (charter_id, org_id))
    """,
    "CREATE INDEX ix_charter_party_org_id ON charter_party (org_id)",
    """
    CREATE TABLE governed_charter (
      charter_id uuid NOT NULL, charter_version integer NOT NULL, number text NOT NULL,
      content_hash text NOT NULL, customer_org_id uuid NOT NULL, provider_org_id uuid NOT NULL,
      effective_date date NOT NULL, content jsonb NOT NULL,
      CONSTRAINT pk_governed_charter PRIMARY KEY (charter_id, charter_version))
    """,
    """
    CREATE TABLE idempotency (
      org_id uuid NOT NULL, subject text NOT NULL, route text NOT NULL, key text NOT NULL,
      fingerprint text NOT NULL, status smallint, headers jsonb, body bytea,
      created_at timestamptz NOT NULL,
      CONSTRAINT pk_idempotency PRIMARY KEY (org_id, subject, route, key))
    """,
    "CREATE INDEX ix_idempotency_created_at ON idempotency (created_at)",
    """
    CREATE TABLE audit (
      id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_audit PRIMARY KEY,
      chain uuid NOT NULL, customer_org_id uuid, provider_org_id uuid, visibility text NOT NULL,
      at timestamptz NOT NULL, action text NOT NULL, object_type text NOT NULL,
      object_id uuid NOT NULL, object_version integer NOT NULL, canonical text NOT NULL,
      seq bigint, hash bytea,
      CONSTRAINT uq_audit_chain_visibility_seq UNIQUE (chain, visibility, seq))
    """,
    "CREATE INDEX ix_audit_object_id ON audit (object_id)",
    "CREATE INDEX ix_audit_unsealed ON audit (id) WHERE seq IS NULL",
    """
    CREATE TABLE audit_checkpoint (
      id uuid NOT NULL CONSTRAINT pk_audit_checkpoint PRIMARY KEY,
      chain uuid NOT NULL, customer_org_id uuid, provider_org_id uuid, visibility text NOT NULL,
      seq bigint NOT NULL, at timestamptz NOT NULL, statement text NOT NULL, signature bytea NOT NULL,
      key_id text NOT NULL,
      CONSTRAINT uq_audit_checkpoint_chain_visibility_seq UNIQUE (chain, visibility, seq))
    """,
    """
    CREATE TABLE number_series (
      charter_id uuid NOT NULL, prefix text NOT NULL, fiscal_year integer NOT NULL, last integer NOT NULL,
      CONSTRAINT pk_number_series PRIMARY KEY (charter_id, prefix, fiscal_year))
    """,
)

# Grants bind the runtime role; these bind the owner too, until it drops them, which checkpoints survive.
AUDIT_GUARDS_V1 = (
    """
    CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'rows of % are written once and sealed once', TG_TABLE_NAME
                USING ERRCODE = 'integrity_constraint_violation'; END $$
    """,
    """
    CREATE TRIGGER enters_unsealed BEFORE INSERT ON audit FOR EACH ROW
    WHEN (NEW.seq IS NOT NULL OR NEW.hash IS NOT NULL) EXECUTE FUNCTION refuse_audit_change()
    """,
    """
    CREATE TRIGGER sealed_once BEFORE UPDATE ON audit FOR EACH ROW
    WHEN (OLD.seq IS NOT NULL OR OLD.hash IS NOT NULL OR NEW.seq IS NULL OR NEW.hash IS NULL
          OR (OLD.id, OLD.chain, OLD.customer_org_id, OLD.provider_org_id, OLD.visibility, OLD.at, OLD.action,
              OLD.object_type, OLD.object_id, OLD.object_version, OLD.canonical)
             IS DISTINCT FROM
             (NEW.id, NEW.chain, NEW.customer_org_id, NEW.provider_org_id, NEW.visibility, NEW.at, NEW.action,
              NEW.object_type, NEW.object_id, NEW.object_version, NEW.canonical))
    EXECUTE FUNCTION refuse_audit_change()
    """,
    """
    CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
    """,
    """
    CREATE TRIGGER kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
    """,
)

# Row-level security reads two settings of the transaction: whose eyes (`app.org_id`) and in which
# capacity (`app.scope`: empty, `system`, or `sysadmin`). NULLIF: after a transaction a local setting
# reads as an empty string on that connection, not as NULL.
ROW_SECURITY_V1 = (
    """
    CREATE FUNCTION app_org() RETURNS uuid LANGUAGE sql STABLE
    AS $$ SELECT NULLIF(current_setting('app.org_id', true), '')::uuid $$
    """,
    """
    CREATE FUNCTION app_is(capacity text) RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT coalesce(current_setting('app.scope', true), '') = capacity $$
    """,
    # The owner's eyes: the tables these read have policies that would call them again.
    """
    CREATE FUNCTION app_observes(charter uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path FROM CURRENT
    AS $$ SELECT EXISTS (SELECT 1 FROM charter_party p WHERE p.charter_id = charter
                         AND p.org_id = app_org() AND p.side = 'observer') $$
    """,
    """
    CREATE FUNCTION app_knows(other uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path FROM CURRENT
    AS $$ SELECT other = app_org() OR EXISTS (
            SELECT 1 FROM charter_party mine JOIN charter_party theirs USING (charter_id)
            WHERE mine.org_id = app_org() AND theirs.org_id = other) $$
    """,
    """
    CREATE FUNCTION begin_as(p_issuer text, p_subject text, p_sysadmin boolean)
    RETURNS TABLE (member_id uuid, org_id uuid, roles text[], display_name text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE found member%ROWTYPE;
    BEGIN
      SELECT * INTO found FROM member m
       WHERE m.issuer = p_issuer AND m.subject = p_subject AND m.active;
      PERFORM set_config('app.org_id', coalesce(found.org_id::text, ''), true),
              set_config('app.scope', CASE WHEN p_sysadmin THEN 'sysadmin' ELSE '' END, true);
      RETURN QUERY SELECT found.id, found.org_id, found.roles, found.display_name WHERE found.id IS NOT NULL;
    END $$
    """,
    "ALTER TABLE organization ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY known ON organization
    USING (app_is('system') OR app_is('sysadmin') OR app_knows(id))
    WITH CHECK (app_is('system') OR app_is('sysadmin'))
    """,
    "ALTER TABLE member ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY known ON member
    USING (app_is('system') OR app_is('sysadmin') OR app_knows(org_id))
    WITH CHECK (app_is('system') OR app_is('sysadmin') OR org_id = app_org())
    """,
    "ALTER TABLE charter_party ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY party ON charter_party
    USING (app_is('system') OR org_id = app_org())
    WITH CHECK (app_is('system') OR app_org() IS NOT NULL)
    """,
    "ALTER TABLE governed_charter ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY party ON governed_charter
    USING (app_is('system') OR app_org() IN (customer_org_id, provider_org_id) OR app_observes(charter_id))
    """,
    "ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY own ON idempotency
    USING (app_is('system') OR app_is('sysadmin') OR org_id = app_org())
    """,
    "ALTER TABLE audit ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY party ON audit
    USING (app_is('system') OR app_is('sysadmin') AND customer_org_id IS NULL
           OR (app_org() = customer_org_id AND visibility <> 'provider')
           OR (app_org() = provider_org_id AND visibility <> 'customer')
           OR (visibility = 'shared' AND app_observes(chain)))
    WITH CHECK (app_is('system') OR app_is('sysadmin') OR app_org() IS NOT NULL)
    """,
    "ALTER TABLE audit_checkpoint ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY party ON audit_checkpoint
    USING (app_is('system') OR app_is('sysadmin') AND customer_org_id IS NULL
           OR (app_org() = customer_org_id AND visibility <> 'provider')
           OR (app_org() = provider_org_id AND visibility <> 'customer')
           OR (visibility = 'shared' AND app_observes(chain)))
    WITH CHECK (app_is('system'))
    """,
    # Events carry every organization's facts: callers may add them, only the service itself reads them.
    "ALTER TABLE outbox ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY emit ON outbox FOR INSERT WITH CHECK (true)",
    "CREATE POLICY relay ON outbox USING (app_is('system'))",
    "ALTER TABLE inbox ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY consume ON inbox USING (app_is('system'))",
    "ALTER TABLE consumed_version ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY consume ON consumed_version USING (app_is('system'))",
    "ALTER TABLE dead_letter ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY consume ON dead_letter USING (app_is('system'))",
    "ALTER TABLE parked_key ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY consume ON parked_key USING (app_is('system'))",
    "ALTER TABLE number_series ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY numbering ON number_series USING (app_is('system') OR app_org() IS NOT NULL)",
)

KERNEL_V2 = (
    # To be named in a draft shows an organization's name; its people show once it acts on a charter itself.
    "ALTER TABLE charter_party ADD COLUMN joined boolean NOT NULL DEFAULT false",
    """
    UPDATE charter_party p SET joined = true
     WHERE side <> 'observer' AND EXISTS (SELECT FROM governed_charter g WHERE g.charter_id = p.charter_id)
    """,
    "ALTER TABLE charter_party ALTER COLUMN joined DROP DEFAULT",
    """
    CREATE FUNCTION app_works_with(other uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path FROM CURRENT
    AS $$ SELECT other = app_org() OR EXISTS (
            SELECT 1 FROM charter_party mine JOIN charter_party theirs USING (charter_id)
            WHERE mine.org_id = app_org() AND theirs.org_id = other AND theirs.joined) $$
    """,
    "ALTER POLICY known ON member USING (app_is('system') OR app_is('sysadmin') OR app_works_with(org_id))",
    "ALTER POLICY party ON charter_party WITH CHECK (app_is('system'))",
    """
    ALTER POLICY own ON idempotency
    USING (app_is('system') OR org_id = app_org()
           OR (app_is('sysadmin') AND org_id = '00000000-0000-0000-0000-000000000000'))
    """,
    # An organization's own affairs are a chain under its own id.
    """
    ALTER POLICY party ON audit
    USING (app_is('system') OR app_is('sysadmin') AND customer_org_id IS NULL OR chain = app_org()
           OR (app_org() = customer_org_id AND visibility <> 'provider')
           OR (app_org() = provider_org_id AND visibility <> 'customer')
           OR (visibility = 'shared' AND app_observes(chain)))
    WITH CHECK (app_is('system') OR app_is('sysadmin') OR chain = app_org()
                OR app_org() IN (customer_org_id, provider_org_id))
    """,
    """
    ALTER POLICY party ON audit_checkpoint
    USING (app_is('system') OR app_is('sysadmin') AND customer_org_id IS NULL OR chain = app_org()
           OR (app_org() = customer_org_id AND visibility <> 'provider')
           OR (app_org() = provider_org_id AND visibility <> 'customer')
           OR (visibility = 'shared' AND app_observes(chain)))
    """,
)
