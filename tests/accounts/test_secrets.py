"""No default secrets: the start stops, and says which variable to mend."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
GOOD = {
    name: secrets.token_urlsafe(48)
    for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "WHATSAPP_SESSION_SECRET")
}
SHORT = secrets.token_urlsafe(20)[:31]


def start(**changes):
    """Settings read the way every process reads them, without `.env`'s help."""
    environment = {
        name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}
    }
    # An empty variable counts as set, so that `.env` of a developer does not fill it in.
    environment |= {**GOOD, "DJANGO_SETTINGS_MODULE": "relance_project.settings", **changes}
    return subprocess.run(
        [sys.executable, "-c", "import django; django.setup()"],
        env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_with_three_good_secrets_it_starts():
    done = start()

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "value",
    ["", SHORT, "change-me-" * 5, "a" * 64, "django-insecure-" + "x1Y2" * 12],
    ids=["missing", "short", "example", "one letter", "djangos"],
)
def test_each_bad_secret_stops_the_start_and_is_named(name, value):
    done = start(**{name: value})

    assert done.returncode != 0
    assert f"{name} " in done.stderr
    assert value == "" or value not in done.stderr


def test_one_secret_for_two_purposes_stops_the_start():
    done = start(JWT_SIGNING_KEY=GOOD["SECRET_KEY"])

    assert done.returncode != 0
    assert "must differ" in done.stderr


def test_every_secret_of_the_rotation_list_must_be_long():
    done = start(WHATSAPP_SESSION_SECRET=GOOD["WHATSAPP_SESSION_SECRET"] + "," + SHORT)

    assert done.returncode != 0
    assert "WHATSAPP_SESSION_SECRET" in done.stderr
