"""The kernel's tables, with their guards and row-level security.

Until the first release the tables are made from their one definition in `shared/data/tables`; what is
released is written out here and stays.
"""

from alembic import op

from shared.data.migrations import ARCHIVE_ROLE, write_once
from shared.data.tables import new_metadata

revision = "kernel_0001"
down_revision = None
branch_labels = ("kernel",)
depends_on = None

# Grants bind the runtime role; these bind the owner too, until it drops them, which checkpoints survive.
WRITTEN_ONCE_GUARDS = (
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'rows of % are written once and stay as they are', TG_TABLE_NAME
                USING ERRCODE = 'integrity_constraint_violation'; END $$
    """,
    """
    CREATE TRIGGER enters_unsealed BEFORE INSERT ON audit FOR EACH ROW
    WHEN (NEW.seq IS NOT NULL OR NEW.hash IS NOT NULL) EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER sealed_once BEFORE UPDATE ON audit FOR EACH ROW
    WHEN (OLD.seq IS NOT NULL OR OLD.hash IS NOT NULL OR NEW.seq IS NULL OR NEW.hash IS NULL
          OR (OLD.id, OLD.chain, OLD.customer_org_id, OLD.provider_org_id, OLD.visibility, OLD.at, OLD.action,
              OLD.object_type, OLD.object_id, OLD.object_version, OLD.canonical)
             IS DISTINCT FROM
             (NEW.id, NEW.chain, NEW.customer_org_id, NEW.provider_org_id, NEW.visibility, NEW.at, NEW.action,
              NEW.object_type, NEW.object_id, NEW.object_version, NEW.canonical))
    EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER kept BEFORE UPDATE OR DELETE OR TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)

# Row-level security reads two settings of the transaction: whose eyes (`app.org_id`) and in which
# capacity (`app.scope`: empty, `system`, or `sysadmin`). NULLIF: after a transaction a local setting
# reads as an empty string on that connection, not as NULL.
FUNCTIONS = (
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
    # To be named in a draft shows an organization's name; its people show once it acts on a charter itself.
    """
    CREATE FUNCTION app_works_with(other uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path FROM CURRENT
    AS $$ SELECT other = app_org() OR EXISTS (
            SELECT 1 FROM charter_party mine JOIN charter_party theirs USING (charter_id)
            WHERE mine.org_id = app_org() AND theirs.org_id = other AND theirs.joined) $$
    """,
    """
    CREATE FUNCTION begin_as(p_issuer text, p_subject text, p_sysadmin boolean)
    RETURNS TABLE (member_id uuid, org_id uuid, roles text[], display_name text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE caller member%ROWTYPE;
    BEGIN
      SELECT * INTO caller FROM member m
       WHERE m.issuer = p_issuer AND m.subject = p_subject AND m.active;
      PERFORM set_config('app.org_id', coalesce(caller.org_id::text, ''), true),
              set_config('app.scope', CASE WHEN p_sysadmin THEN 'sysadmin' ELSE '' END, true);
      RETURN QUERY SELECT caller.id, caller.org_id, caller.roles, caller.display_name WHERE caller.id IS NOT NULL;
    END $$
    """,
)

SYSTEM = "app_is('system')"
# An organization's own affairs are a chain under its own id; the platform's have no parties.
CHAIN_READERS = """
    app_is('system') OR app_is('sysadmin') AND customer_org_id IS NULL OR chain = app_org()
    OR (app_org() = customer_org_id AND visibility <> 'provider')
    OR (app_org() = provider_org_id AND visibility <> 'customer')
    OR (visibility = 'shared' AND app_observes(chain))
"""
PARTIES = """
    app_is('system') OR (app_org() = customer_org_id AND visibility <> 'provider')
    OR (app_org() = provider_org_id AND visibility <> 'customer')
"""

# Table, policy, and who it lets in.
POLICIES = (
    (
        "organization",
        "known",
        "USING (app_is('system') OR app_is('sysadmin') OR app_knows(id))"
        " WITH CHECK (app_is('system') OR app_is('sysadmin'))",
    ),
    (
        "member",
        "known",
        "USING (app_is('system') OR app_is('sysadmin') OR app_works_with(org_id))"
        " WITH CHECK (app_is('system') OR app_is('sysadmin') OR org_id = app_org())",
    ),
    ("charter_party", "party", f"USING (app_is('system') OR org_id = app_org()) WITH CHECK ({SYSTEM})"),
    (
        "governed_charter",
        "party",
        "USING (app_is('system') OR app_org() IN (customer_org_id, provider_org_id) OR app_observes(charter_id))",
    ),
    (
        "idempotency",
        "own",
        "USING (app_is('system') OR org_id = app_org()"
        " OR (app_is('sysadmin') AND org_id = '00000000-0000-0000-0000-000000000000'))",
    ),
    (
        "audit",
        "party",
        f"USING ({CHAIN_READERS}) WITH CHECK (app_is('system') OR app_is('sysadmin') OR chain = app_org()"
        " OR app_org() IN (customer_org_id, provider_org_id))",
    ),
    ("audit_checkpoint", "party", f"USING ({CHAIN_READERS}) WITH CHECK ({SYSTEM})"),
    # Events carry every organization's facts: callers may add them; who reads them is the service itself, and the
    # role of `bus replay`, which sees nothing else.
    ("event", "publish", "FOR INSERT WITH CHECK (true)"),
    ("event", "relay", f"FOR SELECT USING ({SYSTEM} OR current_user = '{ARCHIVE_ROLE}')"),
    ("outbox", "publish", "FOR INSERT WITH CHECK (true)"),
    ("outbox", "relay", f"USING ({SYSTEM})"),
    ("inbox", "consume", f"USING ({SYSTEM})"),
    ("consumed_version", "consume", f"USING ({SYSTEM})"),
    ("dead_letter", "consume", f"USING ({SYSTEM})"),
    ("parked_key", "consume", f"USING ({SYSTEM})"),
    ("due", "party", f"USING ({PARTIES})"),
    ("awaited_matter", "party", f"USING ({PARTIES})"),
    ("number_series", "numbering", "USING (app_is('system') OR app_org() IS NOT NULL)"),
)


def upgrade() -> None:
    tables = new_metadata()
    tables.create_all(op.get_bind(), checkfirst=False)
    for statement in (*WRITTEN_ONCE_GUARDS, *FUNCTIONS):
        op.execute(statement)
    for table in tables.tables:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    for table, policy, lets_in in POLICIES:
        op.execute(f"CREATE POLICY {policy} ON {table} {lets_in}")
    for table in ("audit", "audit_checkpoint", "event"):
        write_once(op, table)
    _grant("UPDATE (seq, hash) ON audit", "'concordat_' || current_schema()")  # the sealer's
    _grant("SELECT ON event", f"'{ARCHIVE_ROLE}'")


def _grant(privilege: str, role: str) -> None:
    """Grant to a role where it exists: tests and tools may migrate without the roles of a deployment."""
    op.execute(
        f"""
        DO $$ DECLARE grantee text := {role};
        BEGIN
          IF EXISTS (SELECT FROM pg_roles WHERE rolname = grantee) THEN
            EXECUTE format('GRANT {privilege} TO %I', grantee);
          END IF;
        END $$
        """
    )
