"""The reference lists what there is: a state, setting or command that it forgets fails here."""

import re
import tomllib

import pytest
from celery.worker.control import Panel
from django.core.management import get_commands

from campaigns.models import Target
from relance_project.local import REPOSITORY
from whatsapp import doctor, remote
from whatsapp.models import Account, Attempt, Message

REFERENCE = REPOSITORY / "docs/reference"
OURS = {"accounts", "campaigns", "whatsapp"}


def missing(page: str, names: set[str]) -> set[str]:
    text = (REFERENCE / page).read_text()
    return {
        name for name in names if not re.search(rf"`[^`\n]*\b{re.escape(name)}\b[^`\n]*`", text)
    }


@pytest.mark.parametrize(
    "choices",
    [
        Account.Status,
        Message.State,
        Attempt.Outcome,
        Target.State,
        Target.ExitReason,
        Target.Hold,
    ],
)
def test_every_state_is_explained(choices) -> None:
    assert missing("states.md", set(choices.values)) == set()


def test_every_variable_that_the_settings_read_is_listed() -> None:
    source = (REPOSITORY / "relance_project/settings.py").read_text()
    read = set(re.findall(r'(?:env\.\w+|positive|required_secret)\(\s*"([A-Z][A-Z_]+)"', source))
    assert len(read) > 40, "nothing is found any more"
    assert missing("settings.md", read - {"TEST_DATABASE_NAME"}) == set()


def test_every_command_of_an_operator_is_described() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    commands = set(project["entry-points"]["celery.commands"])
    asked = {name for name, done in Panel.data.items() if done.__module__ == remote.__name__}
    managed = {name for name, app in get_commands().items() if app in OURS}
    assert commands
    assert asked
    assert managed
    assert missing("cli.md", commands | asked | managed) == set()


def test_every_check_of_the_doctor_is_described() -> None:
    rows = (REFERENCE / "cli.md").read_text()
    assert [name for name in doctor.CHECKS if f"\n| {name} | " not in rows] == []


def test_every_place_and_test_that_security_names_is_there() -> None:
    page = (REFERENCE / "security.md").read_text()
    named = set(re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py|/))`", page))
    assert len(named) > 30, "nothing is found any more"
    assert [name for name in sorted(named) if not (REPOSITORY / name).exists()] == []
