"""Query parameters are strict: an unknown one, or one given twice that takes one value, is refused by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from fastapi.dependencies.models import Dependant
from starlette.datastructures import QueryParams

from shared.pure.refusal import Finding, Invalid, pointer


@dataclass(frozen=True)
class Parameters:
    """What a route's query may name, in the order of the API document; `many` may come more than once."""

    names: tuple[str, ...]
    many: frozenset[str]

    def check(self, given: QueryParams) -> None:
        """Raise `Invalid` with a finding for every parameter that does not belong."""
        findings = [*self._unknown(given), *self._repeated(given)]
        if findings:
            raise Invalid(
                "invalid", "The query does not fit the API document; see errors.", findings=findings
            )

    def _unknown(self, given: QueryParams) -> Iterator[Finding]:
        known = f"it takes {', '.join(self.names)}" if self.names else "it takes none"
        for name in given:
            if name not in self.names:
                message = f"There is no such parameter here; {known}."
                yield Finding("unknown_parameter", message, pointer("query", name))

    def _repeated(self, given: QueryParams) -> Iterator[Finding]:
        for name in given:
            if name in self.names and name not in self.many and len(given.getlist(name)) > 1:
                message = "This parameter takes one value; it was given more than once."
                yield Finding("repeated_parameter", message, pointer("query", name))


def parameters_of(dependant: Dependant) -> Parameters:
    """The query parameters of a route and of everything it depends on."""
    fields = {field.alias: field.field_info.annotation for field in _fields(dependant)}
    return Parameters(tuple(fields), frozenset(name for name, kind in fields.items() if takes_many(kind)))


def _fields(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield from _fields(inner)
    yield from dependant.query_params


def takes_many(kind: Any) -> bool:
    """Whether a parameter or form field of this type holds several values."""
    if get_origin(kind) is Annotated:
        return takes_many(get_args(kind)[0])
    return get_origin(kind) in (list, tuple, set, frozenset) or any(
        takes_many(each) for each in get_args(kind)
    )
