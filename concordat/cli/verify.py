"""`concordat verify`: judges an exported audit chain offline, trusting nobody's database.

Two answers: integrity (every row is what was sealed, every signature holds) and completeness (none is missing,
and checkpoints somebody else kept agree). Exit codes: 0 both hold, 1 one is broken, 2 it cannot be judged.
"""

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console

from shared.audit.chain import EXPORT_FORMAT, Chain, Checkpoint, digest
from shared.audit.keys import VerifyingKey
from shared.audit.verdicts import Fault, Report, Row, Signed, State, Verdict, verify

EXIT_CODES: Mapping[State, int] = {State.holds: 0, State.broken: 1, State.unproven: 2}
CANNOT_JUDGE = 2
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RecursionError)
Document = dict[str, Any]
Lines = Iterator[tuple[int, bytes]]


class Unreadable(Exception):
    """A file is not what it should be, so there is nothing to judge."""


@dataclass(frozen=True)
class Findings:
    """The verdicts on one file. `pinned`: the keys were given, not taken from the file they judge."""

    chain: Chain
    report: Report
    checkpoints: int
    held: int
    pinned: bool

    def as_dict(self) -> dict[str, object]:
        return {
            "service": self.chain.service,
            "chain": str(self.chain.id),
            "visibility": self.chain.visibility,
            "rows": self.report.rows,
            "last_seq": self.report.last,
            "anchored_seq": self.report.anchored,
            "checkpoints": self.checkpoints,
            "held_checkpoints": self.held,
            "keys": "given" if self.pinned else "from the file",
            "verdict": self.report.state,
            "integrity": asdict(self.report.integrity),
            "completeness": asdict(self.report.completeness),
        }

    def show(self, console: Console) -> None:
        chain, report = self.chain, self.report
        console.print(f"{chain.service}, chain {chain.id}, {chain.visibility}: {report.rows} rows")
        for name, verdict in (("integrity", report.integrity), ("completeness", report.completeness)):
            console.print(f"{name}: {_line(verdict)}", markup=False)
        if report.last > report.anchored:
            console.print(f"no checkpoint covers rows {report.anchored + 1} to {report.last} yet")
        if not self.pinned:
            console.print("keys: taken from the file itself; give the ones you noted with --key")


def _line(verdict: Verdict) -> str:
    if verdict.fault is None:
        return str(verdict.state)
    return f"{verdict.state} at row {verdict.fault.seq}: {verdict.fault.message} [{verdict.fault.code}]"


def examine(file: Path, checkpoints: Path | None = None, keys: Sequence[Path] = ()) -> Findings:
    """The verdicts on `file`. `checkpoints` is another export, or webhook bodies one a line, of the other party."""
    with file.open("rb") as opened:
        export = _Export(enumerate(opened, 1))
        trusted = _trusted([_text(path) for path in keys] or export.keys)
        own = [_judged(document, trusted) for document in export.checkpoints]
        held = [_judged(d, trusted) for d in _held(checkpoints, export.chain)] if checkpoints else []
        report = verify(
            export.rows(), own=own, held=held, damage=lambda: export.damage, end=lambda: export.end
        )
    return Findings(export.chain, report, len(own), len(held), bool(keys))


@dataclass
class _Export:
    """An export as it is read: first what stands before the rows, then the rows one by one."""

    lines: Lines
    keys: list[str] = field(default_factory=list)
    checkpoints: list[Document] = field(default_factory=list)
    damage: list[Fault] = field(default_factory=list)
    end: int | None = None

    def __post_init__(self) -> None:
        self.chain = self._header()
        self._first: tuple[int, bytes] | None = None
        for number, line in self.lines:
            if not self._opens(number, _parsed(line)):
                self._first = (number, line)
                break

    def _header(self) -> Chain:
        document = _parsed(next(self.lines, (0, b""))[1])
        if document.get("kind") != "header" or document.get("format") != EXPORT_FORMAT:
            raise Unreadable(f"not an audit export: the first line is no {EXPORT_FORMAT} header")
        try:
            return Chain(str(document["service"]), UUID(document["chain"]), str(document["visibility"]))
        except _MALFORMED:
            raise Unreadable("the header does not name a chain") from None

    def _opens(self, number: int, document: Document) -> bool:
        """Whether the line stands before the rows."""
        kind = document.get("kind")
        if kind == "key":
            self.keys.append(str(document.get("public_key")))
        elif kind == "checkpoint":
            if _chain_of(document) == self.chain:
                self.checkpoints.append(document)
            else:
                self._damaged(number, 1, "is not a checkpoint of this chain")
        return kind in ("key", "checkpoint")

    def rows(self) -> Iterator[Row]:
        """Every readable row; `damage` and `end` are known afterwards."""
        last = 0
        for number, line in self._rest():
            document = _parsed(line)
            row = _row(document) if self.end is None else None
            if row is not None:
                last = row.seq
                yield row
            elif self.end is None and document.get("kind") == "end" and type(document.get("last_seq")) is int:
                self.end = document["last_seq"]
            elif line.endswith(b"\n") or self.end is not None:
                self._damaged(number, last + 1, "cannot be read")

    def _rest(self) -> Lines:
        if self._first is not None:
            yield self._first
        yield from self.lines

    def _damaged(self, number: int, seq: int, what: str) -> None:
        self.damage.append(Fault(seq, "unreadable", f"line {number} {what}", number))


def _parsed(line: bytes) -> Document:
    """The JSON object of a line; an empty one when it holds none."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _row(document: Document) -> Row | None:
    try:
        seq, canonical = document["seq"], document["canonical"]
        canonical.encode()  # a lone surrogate was never stored
        if document["kind"] != "row" or type(seq) is not int or seq < 1:
            return None
        return Row(seq, digest(document["hash"]), canonical)
    except _MALFORMED:
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except UnicodeDecodeError:
        raise Unreadable(f"{file.name} is no key: it is not text") from None


def _trusted(pems: Sequence[str]) -> dict[str, VerifyingKey]:
    try:
        return {key.key_id: key for key in map(VerifyingKey.from_pem, pems)}
    except ValueError as error:
        raise Unreadable(f"a key cannot be read: {error}") from None


def _checkpoint(document: Document) -> Checkpoint:
    return Checkpoint.from_statement(_parsed(document["statement"].encode()))


def _chain_of(document: Document) -> Chain | None:
    try:
        return _checkpoint(document).head.chain
    except _MALFORMED:
        return None


def _judged(document: Document, keys: Mapping[str, VerifyingKey]) -> Signed:
    checkpoint = _checkpoint(document)
    key = keys.get(checkpoint.key_id)
    if key is None:
        return Signed(checkpoint, "unknown_key")
    if not key.signed(document["statement"], _signature(document)):
        return Signed(checkpoint, "bad_signature")
    return Signed(checkpoint, None if checkpoint.is_under_root else "bad_path")


def _signature(document: Document) -> bytes:
    try:
        return b64decode(document["signature"], validate=True)
    except _MALFORMED:
        return b""


def _held(file: Path, chain: Chain) -> list[Document]:
    """The checkpoints of `chain` that somebody else kept: exports, events or webhook bodies, one JSON value a line."""
    documents = [d for d in _documents(file.read_bytes()) if _chain_of(d) == chain]
    if not documents:
        raise Unreadable(f"{file.name} holds no checkpoint of this chain")
    return documents


def _documents(content: bytes) -> Iterator[Document]:
    """Every object that may be a checkpoint: itself, or the `data` of the event around it."""
    try:
        whole = json.loads(content)
        values = whole if isinstance(whole, list) else [whole]
    except (ValueError, RecursionError):
        values = [_parsed(line) for line in content.splitlines()]
    for value in values:
        if isinstance(value, dict):
            yield value["data"] if isinstance(value.get("data"), dict) else value


def run(
    file: Path, checkpoints: Path | None, keys: Sequence[Path], *, as_json: bool, out: Console, err: Console
) -> int:
    """Print the verdicts; the exit code."""
    try:
        findings = examine(file, checkpoints, keys)
    except (Unreadable, OSError) as error:
        if as_json:
            print(json.dumps({"verdict": "unreadable", "reason": str(error)}))
        else:
            err.print(f"[red]{error}[/red]")
        return CANNOT_JUDGE
    if as_json:
        print(json.dumps(findings.as_dict()))
    else:
        findings.show(out)
    return EXIT_CODES[findings.report.state]
