"""What became of uploaded rows."""

from shared.web.schemas import Out


class IngestError(Out):
    """A row that was not taken. `line` counts from 1 (the CSV header is line 1; JSON items count)."""

    line: int
    field: str
    code: str
    message: str


class Ingested(Out):
    """What became of the rows: received = accepted + duplicates + stale + rejected.

    `superseded` counts the accepted rows that replaced an earlier version; `stale` rows are older
    than the version in effect and are kept as history. `errors` lists the first thousand.
    """

    received: int
    accepted: int
    duplicates: int
    superseded: int
    stale: int
    rejected: int
    errors: list[IngestError]
