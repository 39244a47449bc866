"""What a migration says about who may see and change a table's rows."""

from typing import Protocol


class Operations(Protocol):
    """The part of `alembic.op` we use."""

    def execute(self, sqltext: str) -> None: ...


def govern(op: Operations, table: str) -> None:
    """Row-level security of a governed table: both parties, or the one the row is for; observers read."""
    visible = (
        "(app_org() = customer_org_id AND visibility <> 'provider')"
        " OR (app_org() = provider_org_id AND visibility <> 'customer')"
    )
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY party ON {table}"
        f" USING (app_is('system') OR {visible} OR (visibility = 'shared' AND app_observes(charter_id)))"
        f" WITH CHECK (app_is('system') OR {visible})"
    )


def org_scoped(op: Operations, table: str) -> None:
    """Row-level security of a table whose rows belong to one organization alone."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own ON {table} USING (app_is('system') OR org_id = app_org())")


def write_once(op: Operations, table: str) -> None:
    """The runtime role may add rows to the table but never change or remove one."""
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM PUBLIC")
    op.execute(
        f"""
        DO $$ DECLARE runtime text := 'concordat_' || current_schema();
        BEGIN
          IF EXISTS (SELECT FROM pg_roles WHERE rolname = runtime) THEN
            EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM %I', runtime);
          END IF;
        END $$
        """
    )
