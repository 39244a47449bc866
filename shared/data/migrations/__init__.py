"""Schemas, roles and migrations: one schema, one owner role and one runtime role per service.

The owner runs migrations and owns the tables; the runtime role owns nothing and cannot switch
row-level security off. The kernel's tables have migrations of their own (`versions/`), on which a
service's first one depends.
"""

from shared.data.migrations.governed import governed_columns, index_parties
from shared.data.migrations.provisioning import (
    ARCHIVE_ROLE,
    BUS_ROLE,
    owner_role,
    provision,
    refuse_powerful_role,
    role_names,
    runtime_role,
)
from shared.data.migrations.revisions import OldSchema, UnknownSchema, refuse_old_schema, upgrade
from shared.data.migrations.security import govern, org_scoped, write_once

__all__ = [
    "ARCHIVE_ROLE",
    "BUS_ROLE",
    "OldSchema",
    "UnknownSchema",
    "govern",
    "governed_columns",
    "index_parties",
    "org_scoped",
    "owner_role",
    "provision",
    "refuse_old_schema",
    "refuse_powerful_role",
    "role_names",
    "runtime_role",
    "upgrade",
    "write_once",
]
