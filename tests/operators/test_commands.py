"""What operators type: every answer for people and for programs, every mistake in one sentence."""

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from click.testing import CliRunner
from django.utils import timezone

from demo.processes import this_database
from relance_project.local import REPOSITORY
from whatsapp import commands, leases, limits, upkeep
from whatsapp.models import Account, Lease, Message


def type_in(command, *words):
    return CliRunner().invoke(command, words)


def as_json(command, *words):
    typed = type_in(command, *words, "--json")
    assert typed.exit_code == 0, typed.output
    return json.loads(typed.stdout)


def celery(*words, **environment):
    """The same in a process of its own, as it is typed."""
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "relance_project", *words],
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_sessions_tells_who_drives_an_account_since_when_and_what_is_unsent(linked, write):
    write(linked)
    [row] = as_json(commands.sessions)
    assert row["account"] == "acme/amina"
    assert (row["worker"], row["driven"]) == ("browser@one", True)
    assert (row["status"], row["unsent"]) == ("connected", 1)
    assert row["since"] is not None


def test_sessions_shows_an_account_that_nobody_drives(linked):
    Lease.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert "browser@one (silent)" in type_in(commands.sessions).stdout
    Lease.objects.update(lease_until=None, worker="")
    assert "nobody" in type_in(commands.sessions).stdout


def test_sessions_leaves_out_accounts_that_need_no_browser(account):
    assert as_json(commands.sessions) == []


def test_queue_counts_what_is_not_decided_by_account_and_in_all(linked, write):
    write(linked)
    write(linked, phone="+33639980101", due_at=timezone.now() + timedelta(hours=1))
    uncertain = write(linked, phone="+33639980102")
    Message.objects.filter(pk=uncertain.pk).update(state="uncertain")
    sent = write(linked, phone="+33639980103")
    Message.objects.filter(pk=sent.pk).update(state="sent", sent_at=timezone.now())
    found = as_json(commands.queue)
    assert found["total"] == {"waiting": 1, "due": 1, "inFlight": 0, "uncertain": 1}
    [row] = found["accounts"]
    assert (row["account"], row["due"]) == ("acme/amina", 1)
    assert "uncertain: a person settles them" in type_in(commands.queue).stdout


def test_limits_are_those_of_the_api_with_what_stands_behind_them(linked, worker, write):
    write(linked)
    worker.drive(linked)
    found = as_json(commands.limits, "acme/amina")
    assert (found["remaining"], found["isLimited"]) == (99, False)
    assert 0 < found["resetIn"] <= 25 * 3600 * 1000
    assert (found["perDay"], found["perMinute"], found["gapMs"]) == (100, 20, 0)
    assert (found["paced"]["today"], found["paced"]["minute"]) == (1, 1)


def test_limits_answers_without_redis(linked, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    limits.server.cache_clear()
    try:
        found = as_json(commands.limits, str(linked.pk))
    finally:
        limits.server.cache_clear()
    assert found["remaining"] == 100
    assert "Redis does not answer" in found["redis"]


@pytest.mark.parametrize("name", ["99999", "acme/amna", "amina", "9" * 40, "acme/", "²"])
@pytest.mark.parametrize("command", [commands.limits, commands.ring, commands.recycle])
def test_an_account_that_is_not_there_is_named_with_those_that_come_close(account, command, name):
    typed = type_in(command, name)
    assert typed.exit_code == 1
    assert f"there is no account {name}: give its id, or tenant/name" in typed.stderr
    if "am" in name:
        assert "did you mean acme/amina?" in typed.stderr


def test_ring_goes_to_the_worker_that_holds_the_account(linked):
    assert as_json(commands.ring, "acme/amina")["rung"] == "browser@one"
    assert limits.server().client.llen("relance:browser.browser@one") == 1


def test_ring_goes_to_any_worker_when_none_holds_it_and_says_why_nothing_will_happen(account):
    typed = type_in(commands.ring, "acme/amina")
    assert typed.exit_code == 0
    assert "the account is never linked: connect it with a QR code" in typed.stderr
    assert limits.server().client.llen("relance:browser") == 1


def test_recycle_of_an_account_without_a_browser_says_what_opens_one(account):
    typed = type_in(commands.recycle, "acme/amina")
    assert typed.exit_code == 1
    assert "ring acme/amina` asks for one" in typed.stderr


@pytest.mark.django_db
def test_a_worker_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(commands, "ANSWER_SECONDS", 0.2)
    typed = type_in(commands.drain, "browser@nowhere")
    assert typed.exit_code == 69
    assert "no worker called browser@nowhere answered" in typed.stderr


def test_celery_lists_the_commands_with_what_they_do():
    typed = celery("--help")
    for name in ("sessions", "queue", "ring", "drain", "recycle", "limits"):
        assert f"\n  {name} " in typed.stdout
    assert "could not load" not in typed.stdout
    assert "<account id>" in celery("control", "--list").stdout


def test_a_database_that_is_away_is_said_in_a_sentence_without_its_password():
    typed = celery("queue", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/r")
    assert typed.returncode == 69
    assert "PostgreSQL at 127.0.0.1 cannot be used" in typed.stderr
    assert "is DATABASE_URL right" in typed.stderr
    assert "hunter2" not in typed.stderr
    assert "Traceback" not in typed.stderr


@pytest.mark.django_db(transaction=True)
def test_a_redis_that_is_away_is_said_in_a_sentence(account):
    typed = celery(
        "ring",
        "acme/amina",
        DATABASE_URL=this_database(),
        REDIS_URL="redis://:hunter2@127.0.0.1:1/0",
    )
    assert typed.returncode == 69, typed.stderr
    assert "Redis" in typed.stderr
    assert "REDIS_URL" in typed.stderr
    assert "hunter2" not in typed.stderr
    assert "Traceback" not in typed.stderr


def test_the_memory_of_a_browser_stands_on_its_lease_until_it_is_given_back(
    linked, worker, monkeypatch
):
    monkeypatch.setattr(upkeep, "close_old_connections", lambda: None)  # the test's own
    session = worker.pool.get(linked.pk)
    session.memory = 300 * 2**20
    worker.pool._upkeep.beat()
    assert as_json(commands.sessions)[0]["memory"] == 300 * 2**20
    assert "300 MB" in type_in(commands.sessions).stdout
    worker.stop()
    assert Lease.objects.get().memory is None


def test_a_holder_that_lost_the_account_writes_no_memory_down(linked, worker):
    held = worker.pool.get(linked.pk).held
    Lease.objects.update(instance="another", fence=held.fence + 1)
    assert not leases.record_memory(held, 1)
    assert Account.objects.get().lease.memory is None
