"""What tampering with an exported audit chain does to the two verdicts, and which row is named."""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from concordat.__main__ import app as cli
from concordat.cli.verify import Findings, Unreadable, examine
from shared.audit.chain import (
    EXPORT_FORMAT,
    GENESIS,
    Chain,
    Checkpoint,
    Head,
    MerkleTree,
    checkpoints,
    root_from_path,
    row_hash,
)
from shared.audit.keys import SigningKey, VerifyingKey

CHARTER = UUID("019a6e2f-0001-7c3a-9f1e-5d2b8a400001")
CHAIN = Chain("changes", CHARTER, "shared")
OTHERS = [Head(Chain("changes", UUID(int=n), "shared"), n, bytes([n]) * 32) for n in (1, 2, 3, 4)]
KEY = SigningKey.derived("secret", "changes")
FORGER = SigningKey.derived("another", "changes")
ROWS, EARLIER, NEWEST = 10, 4, 8


def text(seq: int) -> str:
    return json.dumps({"action": "change.submit", "n": seq})


def sealed(texts: list[str], start: int = 1, previous: bytes = GENESIS) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for seq, canonical in enumerate(texts, start):
        previous = row_hash(previous, canonical)
        rows.append({"kind": "row", "seq": seq, "hash": previous.hex(), "canonical": canonical})
    return rows


def signed(seq: int, digest: str, key: SigningKey = KEY, chain: Chain = CHAIN) -> dict[str, object]:
    heads = [*OTHERS[:2], Head(chain, seq, bytes.fromhex(digest)), *OTHERS[2:]]
    [made] = checkpoints(heads, [2], at=f"2026-11-10T15:0{seq}:00.000Z", key_id=KEY.public.key_id)
    return signature_over(made.statement, key)


def signature_over(statement: str, key: SigningKey) -> dict[str, object]:
    return {
        "kind": "checkpoint",
        "statement": statement,
        "signature": b64encode(key.sign(statement)).decode(),
        "key_id": KEY.public.key_id,
    }


@dataclass
class Export:
    """A file in the making: ten rows, signed at the fourth and at the eighth."""

    rows: list[dict[str, object]] = field(
        default_factory=lambda: sealed([text(n) for n in range(1, ROWS + 1)])
    )
    checkpoints: list[dict[str, object]] = field(default_factory=list)
    last: int = ROWS
    keep: Callable[[str], str] = str

    def __post_init__(self) -> None:
        self.checkpoints = self.checkpoints or [
            signed(seq, str(self.rows[seq - 1]["hash"])) for seq in (EARLIER, NEWEST)
        ]

    @property
    def lines(self) -> list[dict[str, object]]:
        header: dict[str, object] = {"kind": "header", "format": EXPORT_FORMAT, "service": "changes"}
        header |= {"chain": str(CHARTER), "visibility": "shared"}
        key: dict[str, object] = {"kind": "key", "key_id": KEY.public.key_id, "public_key": KEY.public.pem}
        return [header, key, *self.checkpoints, *self.rows, {"kind": "end", "last_seq": self.last}]

    def write(self, folder: Path) -> Path:
        return written(folder, self.keep("".join(json.dumps(line) + "\n" for line in self.lines)))


def written(folder: Path, content: str) -> Path:
    path = folder / "export.ndjson"
    path.write_text(content)
    return path


def held(folder: Path) -> Path:
    """What the other party's ticketing system received: the events of both checkpoints, one a line."""
    path = folder / "held.ndjson"
    events = [{"specversion": "1.0", "data": checkpoint} for checkpoint in Export().checkpoints]
    path.write_text("\n".join(map(json.dumps, events)))
    return path


def verdicts(findings: Findings) -> tuple[tuple[str, int | None], ...]:
    """(state, first bad row) of integrity and of completeness."""
    both = (findings.report.integrity, findings.report.completeness)
    return tuple((verdict.state.value, verdict.fault.seq if verdict.fault else None) for verdict in both)


def nothing(export: Export) -> None:
    pass


def flip_a_byte(export: Export) -> None:
    export.rows[4]["canonical"] = text(5).replace("submit", "submiu")


def flip_a_byte_of_a_hash(export: Export) -> None:
    digest = str(export.rows[4]["hash"])
    export.rows[4]["hash"] = ("1" if digest[0] == "0" else "0") + digest[1:]


def delete_in_the_middle(export: Export) -> None:
    del export.rows[4]


def delete_in_the_middle_and_renumber(export: Export) -> None:
    del export.rows[4]
    for seq, row in enumerate(export.rows, 1):
        row["seq"] = seq
    export.last = ROWS - 1


def number_the_rows_with_a_gap(export: Export) -> None:
    for row in export.rows[4:]:
        row["seq"] = int(str(row["seq"])) + 1
    export.last = ROWS + 1


def delete_the_first(export: Export) -> None:
    del export.rows[0]


def delete_the_tail(export: Export) -> None:
    del export.rows[6:]
    export.last = 6


def delete_the_tail_and_its_checkpoint(export: Export) -> None:
    delete_the_tail(export)
    del export.checkpoints[1]


def delete_the_tail_nobody_signed(export: Export) -> None:
    del export.rows[8:]
    export.last = 8


def swap_the_contents_of_two_rows(export: Export) -> None:
    one, other = export.rows[2], export.rows[5]
    for name in ("hash", "canonical"):
        one[name], other[name] = other[name], one[name]


def swap_two_lines(export: Export) -> None:
    export.rows[2], export.rows[5] = export.rows[5], export.rows[2]


def repeat_a_row(export: Export) -> None:
    export.rows.insert(5, export.rows[4])


def forge_a_row_with_its_hash(export: Export) -> None:
    export.rows[4:5] = sealed([text(99)], 5, bytes.fromhex(str(export.rows[3]["hash"])))


def forge_a_row_and_every_later_hash(export: Export) -> None:
    texts = [text(99), *(str(row["canonical"]) for row in export.rows[5:])]
    export.rows[4:] = sealed(texts, 5, bytes.fromhex(str(export.rows[3]["hash"])))


def forge_everything_and_sign_it_with_the_key(export: Export) -> None:
    forge_a_row_and_every_later_hash(export)
    export.checkpoints = [signed(seq, str(export.rows[seq - 1]["hash"])) for seq in (EARLIER, NEWEST)]


def forge_everything_and_drop_the_checkpoints(export: Export) -> None:
    forge_a_row_and_every_later_hash(export)
    export.checkpoints = []


def forge_a_signature(export: Export) -> None:
    export.checkpoints[1] = signed(NEWEST, str(export.rows[NEWEST - 1]["hash"]), FORGER)


def forge_a_statement(export: Export) -> None:
    statement = str(export.checkpoints[1]["statement"])
    export.checkpoints[1]["statement"] = statement.replace('"seq":8', '"seq":6')


def sign_a_head_that_is_not_under_its_root(export: Export) -> None:
    statement = json.loads(str(export.checkpoints[1]["statement"]))
    statement["path"][0] = "00" * 32
    export.checkpoints[1] = signature_over(json.dumps(statement), KEY)


def smuggle_in_the_checkpoint_of_another_chain(export: Export) -> None:
    other = Chain("changes", CHARTER, "customer")
    export.checkpoints.append(signed(9, str(export.rows[8]["hash"]), chain=other))


def cut_between_two_lines(export: Export) -> None:
    export.keep = lambda content: content[: content.index('{"kind": "row", "seq": 9')]


def cut_inside_a_line(export: Export) -> None:
    export.keep = lambda content: content[: content.index('{"kind": "row", "seq": 6') + 30]


def cut_the_end_mark(export: Export) -> None:
    export.keep = lambda content: content[:-5]


def spoil_a_line(export: Export) -> None:
    export.rows[4]["seq"] = "five"


HOLDS, UNPROVEN = ("holds", None), ("unproven", None)
Pair = tuple[tuple[str, int | None], ...]
# what was done, the verdicts on the file alone, the verdicts with the other party's checkpoints
TAMPERING: list[tuple[Callable[[Export], None], Pair, Pair | None]] = [
    (nothing, (HOLDS, HOLDS), None),
    (flip_a_byte, (("broken", 5), HOLDS), None),
    (flip_a_byte_of_a_hash, (("broken", 5), HOLDS), None),
    (delete_in_the_middle, (("broken", 6), ("broken", 5)), None),
    (delete_in_the_middle_and_renumber, (("broken", 5), HOLDS), (("broken", 5), ("broken", 8))),
    (number_the_rows_with_a_gap, (("broken", 6), ("broken", 5)), None),
    (delete_the_first, (("broken", 2), ("broken", 1)), None),
    (delete_the_tail, (HOLDS, ("broken", 7)), None),
    (delete_the_tail_and_its_checkpoint, (HOLDS, HOLDS), (HOLDS, ("broken", 7))),
    (delete_the_tail_nobody_signed, (HOLDS, HOLDS), None),
    (swap_the_contents_of_two_rows, (("broken", 3), HOLDS), None),
    (swap_two_lines, (("broken", 6), HOLDS), None),
    (repeat_a_row, (("broken", 5), HOLDS), None),
    (forge_a_row_with_its_hash, (("broken", 6), HOLDS), None),
    (forge_a_row_and_every_later_hash, (("broken", 8), HOLDS), (("broken", 8), ("broken", 8))),
    (forge_everything_and_sign_it_with_the_key, (HOLDS, HOLDS), (HOLDS, ("broken", 8))),
    (forge_everything_and_drop_the_checkpoints, (HOLDS, UNPROVEN), (HOLDS, ("broken", 8))),
    (forge_a_signature, (("broken", 8), HOLDS), None),
    (forge_a_statement, (("broken", 6), HOLDS), None),
    (sign_a_head_that_is_not_under_its_root, (("broken", 8), HOLDS), None),
    (smuggle_in_the_checkpoint_of_another_chain, (("broken", 1), HOLDS), None),
    (cut_between_two_lines, (HOLDS, ("broken", 9)), None),
    (cut_inside_a_line, (HOLDS, ("broken", 6)), None),
    (cut_the_end_mark, (HOLDS, ("broken", 11)), None),
    (spoil_a_line, (("broken", 5), ("broken", 5)), None),
]


@pytest.mark.parametrize(("tamper", "alone", "compared"), TAMPERING, ids=lambda x: getattr(x, "__name__", ""))
def test_tampering_is_told_with_its_row(
    tamper: Callable[[Export], None], alone: Pair, compared: Pair | None, tmp_path: Path
) -> None:
    export = Export()
    tamper(export)
    path = export.write(tmp_path)
    assert verdicts(examine(path)) == alone
    assert verdicts(examine(path, held(tmp_path))) == (compared or alone)


def test_the_report_says_up_to_where_somebody_vouched(tmp_path: Path) -> None:
    findings = examine(Export().write(tmp_path))
    assert (findings.report.rows, findings.report.last, findings.report.anchored) == (ROWS, ROWS, NEWEST)


def test_keys_that_were_given_win_over_those_in_the_file(tmp_path: Path) -> None:
    mine, foreign = tmp_path / "mine.pem", tmp_path / "foreign.pem"
    mine.write_text(KEY.public.pem)
    foreign.write_text(FORGER.public.pem)
    path = Export().write(tmp_path)
    assert verdicts(examine(path, keys=[foreign, mine])) == (HOLDS, HOLDS)
    assert verdicts(examine(path, keys=[foreign])) == (("broken", EARLIER), UNPROVEN)


@pytest.mark.parametrize(
    "content", ["", "{}\n", "not json", '{"kind": "header", "format": "other"}\n', "[1]\n"]
)
def test_a_file_that_is_no_export_is_not_judged(content: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="not an audit export"):
        examine(written(tmp_path, content))


def test_checkpoints_of_other_chains_are_no_comparison(tmp_path: Path) -> None:
    other = tmp_path / "held.json"
    other.write_text(json.dumps([signed(8, "00" * 32, chain=Chain("sla", CHARTER, "shared")), 7, "x"]))
    with pytest.raises(Unreadable, match="no checkpoint of this chain"):
        examine(Export().write(tmp_path), other)


@pytest.mark.parametrize(
    ("tamper", "code", "verdict"),
    [
        (nothing, 0, "holds"),
        (flip_a_byte, 1, "broken"),
        (forge_everything_and_drop_the_checkpoints, 2, "unproven"),
    ],
)
def test_the_command_exits_with_the_verdict(
    tamper: Callable[[Export], None], code: int, verdict: str, tmp_path: Path
) -> None:
    export = Export()
    tamper(export)
    path = str(export.write(tmp_path))
    done = CliRunner().invoke(cli, ["verify", path, "--json"])
    assert (done.exit_code, json.loads(done.stdout)["verdict"]) == (code, verdict)
    assert CliRunner().invoke(cli, ["verify", path]).exit_code == code


def test_the_command_cannot_judge_what_it_cannot_read(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["verify", str(written(tmp_path, "{}")), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["verdict"]) == (2, "unreadable")


def test_a_row_hash_is_the_documented_formula() -> None:
    canonical = '{"note":"café"}'
    expected = sha256(b"\0" + GENESIS + (16).to_bytes(8, "big") + canonical.encode())
    assert row_hash(GENESIS, canonical) == expected.digest()


def _rfc_9162_root(leaves: list[bytes]) -> bytes:
    """The definition in RFC 9162 2.1.1, by recursion, with our prefix of nodes."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\2" + _rfc_9162_root(leaves[:split]) + _rfc_9162_root(leaves[split:])).digest()


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40), st.data())
def test_every_path_leads_to_the_root_and_no_other_leaf_does(
    leaves: list[bytes], data: st.DataObject
) -> None:
    tree = MerkleTree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = tree.path(index)
    assert tree.root == _rfc_9162_root(leaves)
    assert root_from_path(leaves[index], index, len(leaves), path) == tree.root
    assert root_from_path(bytes(31) + b"!", index, len(leaves), path) != tree.root
    assert root_from_path(leaves[index], index, len(leaves), (*path, GENESIS)) is None
    assert not path or root_from_path(leaves[index], index, len(leaves), path[1:]) != tree.root


def test_a_checkpoint_is_read_back_from_its_statement() -> None:
    [made] = checkpoints(OTHERS, [2], at="2026-11-10T15:00:00.000Z", key_id="k")
    assert Checkpoint.from_statement(json.loads(made.statement)) == made


@pytest.mark.parametrize(
    "spoil",
    [{"seq": 0}, {"seq": True}, {"hash": "00"}, {"path": "x"}, {"path": [1]}, {"format": "v2"}, {"at": 1}],
)
def test_a_statement_of_the_wrong_shape_is_no_checkpoint(spoil: dict[str, object]) -> None:
    [made] = checkpoints(OTHERS, [0], at="2026-11-10T15:00:00.000Z", key_id="k")
    with pytest.raises(ValueError):
        Checkpoint.from_statement(json.loads(made.statement) | spoil)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


P256 = _pem(ec.generate_private_key(ec.SECP256R1()))
USABLE = {
    "32 bytes": (b64encode(bytes(range(32))).decode(), "Ed25519"),
    "PEM": (P256, "ECDSA-P256-SHA256"),
    "base64 of PEM": (b64encode(P256.encode()).decode(), "ECDSA-P256-SHA256"),
}


@pytest.mark.parametrize("name", USABLE)
def test_a_key_signs_and_its_public_half_checks(name: str) -> None:
    given, algorithm = USABLE[name]
    key = SigningKey.from_text(given)
    public = VerifyingKey.from_pem(key.public.pem)
    assert (public.algorithm, public.key_id) == (algorithm, key.public.key_id)
    assert public.signed("text", key.sign("text"))
    assert not public.signed("text!", key.sign("text"))
    assert not public.signed("text", b"short")


@pytest.mark.parametrize(
    "bad", ["", "%%%", b64encode(b"31 bytes" * 3).decode(), _pem(ec.generate_private_key(ec.SECP384R1()))]
)
def test_an_unusable_key_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        SigningKey.from_text(bad)
