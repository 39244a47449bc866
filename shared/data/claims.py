"""An idempotency key as a row: who claims which request under it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One key as one caller uses it on one route, and the fingerprint of the request it came with."""

    org: str
    subject: str
    route: str
    key: str
    fingerprint: str

    def parameters(self) -> dict[str, object]:
        """What finds the row."""
        return {"org": self.org, "subject": self.subject, "route": self.route, "key": self.key}
