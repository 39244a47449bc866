"""A report as a page that people read, print and hear read out."""

from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from fastapi import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.sla.metrics.domain.measured import level
from services.sla.metrics.domain.terms import Comparator
from services.sla.reports.schemas import Report
from services.sla.results.domain.verdict import ResultStatus
from shared.calendars.zones import zone_named

_FOLDER = Path(__file__).resolve().parent / "templates"
_STYLE = (_FOLDER / "report.css").read_text()
_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'"

# A symbol beside each word, so that nothing is said by colour alone.
_STATUS: dict[ResultStatus, tuple[str, str]] = {
    ResultStatus.met: ("✓", "Met"),
    ResultStatus.missed_expected: ("✗", "Missed expected level"),
    ResultStatus.missed_minimum: ("✗✗", "Missed minimum level"),
    ResultStatus.not_applicable: ("–", "Not applicable"),
    ResultStatus.no_data: ("!", "No data"),
    ResultStatus.insufficient_data: ("?", "Too little data"),
}
_AT = {Comparator.gte: "at least", Comparator.lte: "at most"}


def render(report: Report) -> Response:
    """The page; its style is allowed by hash, and nothing else may load."""
    zone = zone_named(report.zone)

    def local(moment: datetime | None) -> str:
        if moment is None:
            return "not yet"
        return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"

    page = _ENVIRONMENT.get_template("report.html").render(
        report=report, local=local, style=_STYLE, counts=_counts(report)
    )
    return Response(page, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})


def _counts(report: Report) -> dict[str, int]:
    missed = sum(line.status.missed_level is not None for line in report.results)
    met = sum(line.status is ResultStatus.met for line in report.results)
    return {"met": met, "missed": missed, "other": len(report.results) - met - missed}


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["level"] = level
_ENVIRONMENT.globals.update(status=_STATUS, at=_AT)
