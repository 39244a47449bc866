"""An import-linter contract of allow-lists: what a module may import is listed, everything else is refused.

A rule is `modules -> what they may import`. A pattern names a module and all below it; `*` is any one name, `{word}`
is any one name that means the same on both sides of a rule. `stdlib` is Python's library, `libraries` whatever is
installed. The first rule that fits a module is its rule; a module that fits none is an error, so that a new folder
needs a line here before it can import anything.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from grimp import ImportGraph
from importlinter.application import output
from importlinter.domain import fields
from importlinter.domain.contract import Contract, ContractCheck


@dataclass(frozen=True)
class Rule:
    """One line of the contract."""

    text: str

    @property
    def name(self) -> str:
        return self.text.partition("->")[0].strip()

    @cached_property
    def modules(self) -> re.Pattern[str]:
        return _compiled(self.name)

    @cached_property
    def allowed(self) -> list[str]:
        return [entry.strip() for entry in self.text.partition("->")[2].split(",")]

    def permits(self, module: str, imported: str, ours: Sequence[str]) -> bool:
        """Whether a module this rule is for may import the other; `ours` are our own top-level packages."""
        match self.modules.match(module), imported.split(".")[0]:
            case (_, package) if package in sys.stdlib_module_names:
                return "stdlib" in self.allowed
            case (_, package) if package not in ours:
                return "libraries" in self.allowed or self._names(imported, {})
            case (matched, _):
                return self._names(imported, matched.groupdict() if matched else {})

    def _names(self, imported: str, bound: dict[str, str]) -> bool:
        entries = [
            re.sub(r"\{(\w+)\}", lambda word: bound.get(word[1], word[0]), entry) for entry in self.allowed
        ]
        return any(_compiled(entry).match(imported) for entry in entries)


def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of names as a regular expression that also fits everything below."""
    body = re.escape(pattern.strip()).replace(r"\*", r"[^.]+")
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^.]+)", body) + r"(\..*)?$")


class AllowedImports(Contract):
    """`rules` is the list; see the module's docstring for how a rule reads."""

    type_name = "allowed"
    rules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        violations = list(self._violations(graph))
        return ContractCheck(kept=not violations, metadata={"violations": violations})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["violations"]:
            output.print_error(line)

    def _violations(self, graph: ImportGraph) -> Iterator[str]:
        rules = [Rule(text) for text in self.rules]  # type: ignore[attr-defined]
        ours = self.session_options["root_packages"]
        for module in sorted(name for name in graph.modules if name.split(".")[0] in ours):
            rule = next((each for each in rules if each.modules.match(module)), None)
            if rule is None:
                yield f"{module}: no rule says what it may import"
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(module)):
                if not rule.permits(module, imported, ours):
                    line = graph.get_import_details(importer=module, imported=imported)[0]["line_number"]
                    yield f"{module}:{line} imports {imported}: not on the list of `{rule.name}`"
