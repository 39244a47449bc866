"""The audit chain without a database: row hashes, Merkle roots over chain heads, and what a checkpoint states.

A chain is one charter's rows of one visibility in one service, numbered from 1 without gaps. Hashes of
different things never collide because each kind begins with a byte of its own (0 row, 1 head, 2 node).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self
from uuid import UUID

from shared.pure.canonical import canonical_json

EXPORT_FORMAT = "concordat.audit.export.v1"
GENESIS = bytes(32)
_ROW, _HEAD, _NODE = b"\x00", b"\x01", b"\x02"


def row_hash(previous: bytes, canonical: str) -> bytes:
    """SHA-256(0x00 || previous hash || length as 8 bytes, big-endian || canonical text in UTF-8)."""
    text = canonical.encode()
    return sha256(_ROW + previous + len(text).to_bytes(8) + text).digest()


@dataclass(frozen=True, order=True)
class Chain:
    """Which rows are numbered together: one party's private rows never show in what the other verifies."""

    service: str
    id: UUID
    visibility: str


@dataclass(frozen=True)
class Head:
    """The last row of a chain when a checkpoint was made."""

    chain: Chain
    seq: int
    hash: bytes

    @property
    def leaf(self) -> bytes:
        line = f"{self.chain.service} {self.chain.id} {self.chain.visibility} {self.seq} {self.hash.hex()}"
        return sha256(_HEAD + line.encode()).digest()


class MerkleTree:
    """The tree of RFC 9162 2.1 over at least one leaf: neighbours are paired, an odd last one moves up unchanged."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            self._levels.append(list(_paired(self._levels[-1])))

    @property
    def root(self) -> bytes:
        return self._levels[-1][0]

    def path(self, index: int) -> tuple[bytes, ...]:
        """The neighbours on the way from a leaf to the root."""
        siblings = []
        for level in self._levels[:-1]:
            neighbour = index ^ 1
            if neighbour < len(level):
                siblings.append(level[neighbour])
            index >>= 1
        return tuple(siblings)


def _paired(level: Sequence[bytes]) -> Iterator[bytes]:
    for left in range(0, len(level), 2):
        pair = level[left : left + 2]
        yield _node(*pair) if len(pair) == 2 else pair[0]


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE + left + right).digest()


def root_from_path(leaf: bytes, index: int, leaves: int, path: Sequence[bytes]) -> bytes | None:
    """The root a path leads to; None when it cannot be the path of that leaf in a tree of that many."""
    rest = list(reversed(path))
    while leaves > 1:
        has_neighbour = index ^ 1 < leaves
        if has_neighbour and not rest:
            return None
        if has_neighbour:
            leaf = _node(rest.pop(), leaf) if index & 1 else _node(leaf, rest.pop())
        index, leaves = index >> 1, (leaves + 1) >> 1
    return leaf if index == 0 and not rest else None


@dataclass(frozen=True)
class Checkpoint:
    """A signed head. `path` proves that it stands under `root`, which covers every chain of the service.

    `at` is RFC 3339; `heads` is how many chains the root covers.
    """

    head: Head
    at: str
    root: bytes
    index: int
    heads: int
    path: tuple[bytes, ...]
    key_id: str

    FORMAT = "concordat.audit.checkpoint.v1"

    @property
    def statement(self) -> str:
        """The text that is signed: RFC 8785 JSON."""
        chain = self.head.chain
        return canonical_json(
            {
                "at": self.at,
                "chain": chain.id,
                "format": self.FORMAT,
                "hash": self.head.hash.hex(),
                "heads": self.heads,
                "index": self.index,
                "key_id": self.key_id,
                "path": [node.hex() for node in self.path],
                "root": self.root.hex(),
                "seq": self.head.seq,
                "service": chain.service,
                "visibility": chain.visibility,
            }
        )

    @classmethod
    def from_statement(cls, members: dict[str, object]) -> Self:
        """The inverse of `statement`, from its parsed JSON; `ValueError` for anything else."""
        try:
            return cls._from_members(members)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a checkpoint: {error!r}") from None

    @classmethod
    def _from_members(cls, members: dict[str, object]) -> Self:
        if members["format"] != cls.FORMAT:
            raise ValueError("not a checkpoint of a known format")
        chain = Chain(_text(members, "service"), UUID(_text(members, "chain")), _text(members, "visibility"))
        path = members["path"]
        if not isinstance(path, list):
            raise TypeError("path")
        return cls(
            head=Head(chain, _number(members, "seq", 1), digest(_text(members, "hash"))),
            at=_text(members, "at"),
            root=digest(_text(members, "root")),
            index=_number(members, "index", 0),
            heads=_number(members, "heads", 1),
            path=tuple(digest(node) for node in path),
            key_id=_text(members, "key_id"),
        )

    @property
    def is_under_root(self) -> bool:
        return root_from_path(self.head.leaf, self.index, self.heads, self.path) == self.root


def _text(members: dict[str, object], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _number(members: dict[str, object], name: str, least: int) -> int:
    value = members[name]
    if type(value) is not int or value < least:
        raise TypeError(name)
    return value


def checkpoints(heads: Sequence[Head], chosen: Iterable[int], *, at: str, key_id: str) -> list[Checkpoint]:
    """Checkpoints of the chosen heads, all under one root over every head."""
    tree = MerkleTree([head.leaf for head in heads])
    return [Checkpoint(heads[i], at, tree.root, i, len(heads), tree.path(i), key_id) for i in chosen]


def digest(text: str) -> bytes:
    """The 32 bytes of a SHA-256 hash written as 64 hexadecimal digits; `ValueError` otherwise."""
    value = bytes.fromhex(text)
    if len(value) != 32 or len(text) != 64:
        raise ValueError("not a SHA-256 hash in hexadecimal digits")
    return value
