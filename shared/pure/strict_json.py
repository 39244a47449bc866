"""JSON that no two readers understand differently: what Python takes beyond RFC 8259 and RFC 7493 is refused."""

import json
from collections.abc import Callable
from typing import Final

Number = Callable[[str], object]


class Ambiguous(ValueError):
    """Valid for Python, but not for every reader. `code` is `not_a_number` or `duplicate_name`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code: Final = code


def strict_decoder(parse_int: Number = int, parse_float: Number = float) -> json.JSONDecoder:
    """A decoder that raises `Ambiguous` for NaN, infinities and names that come twice in an object."""
    return json.JSONDecoder(
        parse_int=parse_int,
        parse_float=parse_float,
        parse_constant=_no_constant,
        object_pairs_hook=_unique_names,
    )


def _no_constant(name: str) -> object:
    raise Ambiguous("not_a_number", f"{name} is no number in JSON")


def _unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise Ambiguous("duplicate_name", "an object names a field twice")
    return unique
