"""`concordat ingest`: a thin client of the public API that loads a CSV through a mapping, with progress."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from concordat.cli.client import Client, NotDone
from services.sla.observations.domain.parsing import RowError
from services.sla.observations.service.mapping import Mapping, load_mapping, map_row
from shared.pure.refusal import Refusal

SHOWN_ERRORS = 20


@dataclass
class Summary:
    """How the rows of a file fared."""

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    superseded: int = 0
    stale: int = 0
    rejected: int = 0
    skipped: int = 0
    errors: list[dict[str, object]] = field(default_factory=list)

    def add(self, answer: dict[str, object], lines: list[int]) -> None:
        """Add one batch's answer; its line numbers become those of the file."""
        for name in ("received", "accepted", "duplicates", "superseded", "stale", "rejected"):
            setattr(self, name, getattr(self, name) + int(str(answer[name])))
        errors = answer["errors"]
        assert isinstance(errors, list)
        self.errors += [error | {"line": lines[int(error["line"]) - 1]} for error in errors]

    def refuse(self, error: RowError) -> None:
        self.received += 1
        self.rejected += 1
        self.errors.append(
            {"line": error.line, "field": error.field, "code": error.code, "message": error.message}
        )

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    def show(self, console: Console) -> None:
        console.print(
            f"{self.received} rows: {self.accepted} accepted, {self.duplicates} already known, "
            f"{self.superseded} newer versions, {self.stale} older ones, {self.rejected} rejected, {self.skipped} skipped"
        )
        for error in self.errors[:SHOWN_ERRORS]:
            console.print(f"  line {error['line']}: {error['field']}: {error['message']}", markup=False)
        if len(self.errors) > SHOWN_ERRORS:
            console.print(f"  and {len(self.errors) - SHOWN_ERRORS} more; --json prints all")


def load_file(
    file: Path, mapping_file: Path, *, sla_id: str, url: str, token: str, batch: int, console: Console
) -> Summary:
    """Send every row of the file in batches. Safe to repeat: the service knows rows by their source id."""
    mapping = _mapping(mapping_file)
    summary = Summary()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Client(url, token, timeout=60) as client,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task(file.name, total=_count(file))
        rows = _mapped(file, mapping, summary)
        while chunk := list(islice(rows, batch)):
            lines = [line for line, _ in chunk]
            body = "".join(json.dumps(observation) + "\n" for _, observation in chunk)
            summary.add(_send(client, sla_id, body), lines)
            progress.update(task, completed=lines[-1] - 1)
        progress.update(task, completed=progress.tasks[0].total)
    return summary


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        message = f"{file.name} is not UTF-8 text. Save it as UTF-8 (in Excel: CSV UTF-8) and load it again."
        raise NotDone(message) from None
    except csv.Error as error:
        raise NotDone(f"{file.name} is no CSV file that can be read: {error}.") from None
    except OSError as error:
        raise NotDone(f"{file.name} cannot be read: {error.strerror}.") from None


def _mapping(file: Path) -> Mapping:
    try:
        with _reading(file):
            return load_mapping(file.read_text(encoding="utf-8-sig"))
    except Refusal as refusal:
        raise NotDone(f"{file.name}: {refusal} docs/mapping.md lists what a mapping may say.") from None


def _count(file: Path) -> int:
    """How many rows there are; the whole file has been read once before anything is sent."""
    with _reading(file), file.open(encoding="utf-8-sig", newline="") as lines:
        return max(0, sum(1 for _ in csv.reader(lines)) - 1)


def _mapped(file: Path, mapping: Mapping, summary: Summary) -> Iterator[tuple[int, dict[str, object]]]:
    """(line of the file, canonical observation) of every row the mapping accepts."""
    with _reading(file), file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        _check_header(file, list(reader.fieldnames or ()))
        for row in reader:
            mapped = _read(mapping, row, reader.line_num)
            if mapped is None:
                summary.skipped += 1
            elif isinstance(mapped, RowError):
                summary.refuse(mapped)
            else:
                yield reader.line_num, mapped


def _check_header(file: Path, names: list[str]) -> None:
    if not any(name.strip() for name in names):
        raise NotDone(f"{file.name} has no header row that names its columns.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise NotDone(f"{file.name} names a column twice: {', '.join(twice)}.")


def _read(mapping: Mapping, row: dict[str, str], line: int) -> dict[str, object] | RowError | None:
    """The row through the mapping; one with other cells than the header has columns may be shifted, so it is rejected."""
    if None in row or None in row.values():
        return RowError(
            line, "", "cell_count", "The row has more or fewer cells than the header has columns."
        )
    return map_row(mapping, row, line)


def _send(client: Client, sla_id: str, body: str) -> dict[str, object]:
    kind = {"Content-Type": "application/x-ndjson"}
    return client.call("POST", f"/sla/v1/slas/{sla_id}/observations", content=body.encode(), headers=kind)
