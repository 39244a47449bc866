"""A state machine is a table."""

from enum import StrEnum

import pytest

from shared.pure.refusal import Refusal
from shared.pure.transitions import Transitions


class Door(StrEnum):
    shut = "shut"
    ajar = "ajar"
    walled_up = "walled_up"


class Act(StrEnum):
    push = "push"
    pull = "pull"
    brick = "brick"


DOOR = Transitions(
    {
        (Door.shut, Act.push): Door.ajar,
        (Door.ajar, Act.pull): Door.shut,
        (Door.shut, Act.brick): Door.walled_up,
    }
)


def test_an_action_leads_to_the_next_state():
    assert DOOR.next(Door.shut, Act.push) is Door.ajar


def test_the_allowed_actions_come_in_table_order():
    assert DOOR.allowed(Door.shut) == (Act.push, Act.brick)


@pytest.mark.parametrize(
    ("state", "action", "message"),
    [
        (Door.ajar, Act.brick, "Cannot brick in state ajar; allowed in ajar: pull."),
        (Door.shut, Act.pull, "Cannot pull in state shut; allowed in shut: push, brick."),
        (
            Door.walled_up,
            Act.push,
            "Cannot push in state walled_up; allowed in walled_up: nothing, it is final.",
        ),
    ],
)
def test_a_refusal_names_the_state_and_what_is_allowed(state, action, message):
    with pytest.raises(Refusal) as refusal:
        DOOR.next(state, action)
    assert (refusal.value.code, refusal.value.message) == ("not_allowed", message)


def test_a_table_draws_itself():
    assert DOOR.as_mermaid('A "plain" door: states') == (
        "---\n"
        'title: "A \\"plain\\" door: states"\n'
        "---\n"
        "stateDiagram-v2\n"
        "    [*] --> shut\n"
        "    shut --> ajar: push\n"
        "    ajar --> shut: pull\n"
        "    shut --> walled_up: brick\n"
        "    walled_up --> [*]\n"
    )


def test_changing_the_dict_it_came_from_changes_nothing():
    table = {(Door.shut, Act.push): Door.ajar}
    door = Transitions(table)
    table.clear()
    assert door.next(Door.shut, Act.push) is Door.ajar
