"""The table of kinds: which there are, who may put them, and what must be known."""

from contextlib import nullcontext
from datetime import date
from decimal import Decimal

import pytest

from services.changes.matters.domain.kinds import (
    KINDS,
    MatterKind,
    check_class,
    check_putter,
    kind_of,
    required_dimensions,
)
from services.changes.matters.domain.routing import route
from services.changes.matters.domain.states import MATTER, MatterAction, MatterState
from services.charter.charters.domain.model_charter import model_charter
from shared.contracts.governance import ExecutableCharter, Party, Role
from shared.pure.refusal import Refusal


@pytest.fixture(scope="module")
def charter() -> ExecutableCharter:
    return model_charter(
        title="O&M", services=("Payroll",), effective=date(2026, 10, 15), annual_order_value=Decimal(4800000)
    )


def test_every_kind_has_its_row() -> None:
    assert list(KINDS) == list(MatterKind)


def test_an_unknown_kind_is_refused_naming_those_that_exist() -> None:
    with pytest.raises(Refusal) as refused:
        kind_of("wish")
    assert refused.value.code == "unknown_kind"
    assert "sla_dispute" in refused.value.message


def test_a_decision_class_belongs_to_one_kind() -> None:
    classes = [each for kind in KINDS.values() for each in kind.classes]
    assert len(classes) == len(set(classes))
    with pytest.raises(Refusal, match="its classes"):
        check_class(kind_of("change_request"), "sla_dispute")


@pytest.mark.parametrize("kind", list(MatterKind))
def test_every_kind_asks_for_dimensions_that_the_model_charter_decides(
    charter: ExecutableCharter, kind: MatterKind
) -> None:
    required = required_dimensions(KINDS[kind], charter)
    assert set(required) <= set(charter.routing_dimensions)
    with pytest.raises(Refusal) if required else nullcontext() as refused:
        route(charter, {}, required=required)
    assert not required or refused.value.code == "assess_first"


@pytest.mark.parametrize(
    ("kind", "impact", "body"),
    [
        ("issue", {}, "jowg"),
        ("risk_acceptance", {"risk_acceptance": "moderate"}, "smb"),
        ("sla_dispute", {"sla_dispute": "stage_1"}, "smb"),
        ("corrective_action_plan", {"cap_approval": "chronic_failure"}, "esc"),
        ("charter_amendment", {"charter_amendment": "parties"}, "esf"),
        ("freeze_window", {"calendar": "override"}, "esc"),
        ("agreement_modification", {"agreement": "modification"}, "esc"),
    ],
)
def test_each_kind_goes_to_the_body_of_its_own_dimension(
    charter: ExecutableCharter, kind: str, impact: dict[str, str], body: str
) -> None:
    routed = route(charter, impact, required=required_dimensions(kind_of(kind), charter))
    assert routed.body == body


@pytest.mark.parametrize(
    ("kind", "party", "roles", "may"),
    [
        ("sla_dispute", Party.customer, {Role.business_owner}, True),
        ("sla_dispute", Party.provider, {Role.business_owner}, False),
        ("corrective_action_plan", Party.provider, {Role.om_team}, True),
        ("corrective_action_plan", Party.customer, {Role.om_team}, False),
        ("agreement_modification", Party.customer, {Role.contracting_officer}, True),
        ("risk_acceptance", Party.provider, {Role.isso}, True),
        ("charter_amendment", Party.customer, {Role.secretariat}, True),
        ("charter_amendment", Party.customer, {Role.observer}, False),
        ("charter_amendment", Party.customer, None, True),
    ],
)
def test_the_table_says_who_may_put_what(kind: str, party: Party, roles: set[Role] | None, may: bool) -> None:
    if may:
        check_putter(kind_of(kind), party, roles)
    else:
        with pytest.raises(Refusal) as refused:
            check_putter(kind_of(kind), party, roles)
        assert refused.value.code == "may_not_put"


def test_a_matter_ends_decided_withdrawn_refused_or_stale() -> None:
    ends = {state for state in MatterState if not MATTER.allowed(state)}
    assert ends == {MatterState.refused, MatterState.withdrawn}
    assert MATTER.allowed(MatterState.decided) == (MatterAction.not_applied,)
    assert MatterAction.reassign in MATTER.allowed(MatterState.stale)
