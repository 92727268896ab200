"""The doctor: each thing that can be the matter is named, with what mends it."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from celery.app.control import Control
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from accounts.models import Tenant
from relance_project.local import REPOSITORY, find_redis
from tests.operators.conftest import newest_migration
from tests.project.test_local import await_
from whatsapp import doctor, limits
from whatsapp.doctor import findings, machine, servers
from whatsapp.models import Lease


def look(name):
    """What the check of that name says: (status, said, mend) each."""
    return [(f.status, f.said, f.mend) for _, f in doctor.examine([name])]


def failures(name):
    return [(said, mend) for status, said, mend in look(name) if status == "fail"]


def manage(*words, **environment):
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


# ---------------------------------------------------------------------------- the command


def test_with_everything_away_each_check_answers_and_no_secret_is_told():
    typed = manage(
        "doctor",
        "--json",
        *(word for name in doctor.CHECKS if name != "chromium" for word in ("--only", name)),
        DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/r",
        REDIS_URL="redis://:hunter2@127.0.0.1:1/0",
    )
    assert typed.returncode == 1
    assert "Traceback" not in typed.stderr
    said = json.loads(typed.stdout)
    assert not said["ok"]
    assert {row["check"] for row in said["findings"]} == set(doctor.CHECKS) - {"chromium"}
    broken = [row for row in said["findings"] if row["status"] == "fail"]
    assert {row["check"] for row in broken} == {"database", "redis"}
    assert all(row["mend"] for row in said["findings"] if row["status"] != "ok")
    for secret in ("hunter2", os.environ["SECRET_KEY"], os.environ["WHATSAPP_SESSION_SECRET"]):
        assert secret not in typed.stdout + typed.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"JWT_SIGNING_KEY": "tooshort"}, "JWT_SIGNING_KEY is shorter than 32 bytes"),
        ({"WHATSAPP_SESSION_SECRET": "changeme" * 8}, "looks like an example"),
        ({"DEBUG": "perhaps"}, '"DEBUG" invalid'),
        ({"EMAIL_URL": "smtp+tls://u:hunter2@h:587"}, "EMAIL_URL begins with a scheme"),
    ],
)
def test_settings_that_stop_the_start_are_told_in_a_sentence(environment, said):
    typed = manage("doctor", **environment)
    assert typed.returncode == 1
    assert said in typed.stderr
    assert "Traceback" not in typed.stderr
    assert not any(value in typed.stderr for value in environment.values() if len(value) > 8)


def test_what_a_check_did_not_expect_is_a_finding_too_without_secrets(monkeypatch, settings):
    def faint():
        raise KeyError(settings.SECRET_KEY)
        yield

    monkeypatch.setitem(doctor.CHECKS, "mail", faint)
    [(status, said, mend)] = look("mail")
    assert status == "fail"
    assert "KeyError" in said
    assert settings.SECRET_KEY not in said
    assert mend


def test_for_people_each_finding_has_a_line_and_what_mends_it(capsys, settings, db):
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    call_command("doctor", only=["mail"])
    printed = capsys.readouterr().out
    assert printed.startswith("mail        warning  no mail leaves this machine")
    assert "-> set EMAIL_URL" in printed
    assert "0 failed, 1 to look at, 1 in all" in printed


# ---------------------------------------------------------------------------- PostgreSQL


def test_a_database_that_is_well(db):
    assert {status for status, _, _ in look("database")} == {"ok"}


def test_a_database_that_is_read_only(db):
    connection.cursor().execute("SET LOCAL transaction_read_only = on")
    [(said, mend)] = failures("database")
    assert "transactions are read-only" in said
    assert "default_transaction_read_only" in mend


def test_a_database_without_our_tables_in_their_newest_form(db):
    app, name = newest_migration("whatsapp")
    MigrationRecorder(connection).record_unapplied(app, name)
    [(said, mend)] = failures("database")
    assert said == f"1 migrations are not applied, {app}.{name} the first"
    assert "manage.py migrate" in mend


def test_a_database_that_a_newer_relance_has_used(db):
    connection.cursor().execute(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('whatsapp', '9999_x', now())"
    )
    assert any("this code does not" in said for _, said, _ in look("database"))


@pytest.mark.parametrize(
    ("skew", "status"), [(0.1, "ok"), (-3, "warning"), (40, "fail"), (-4000, "fail")]
)
def test_clocks_that_disagree(skew, status):
    [finding] = servers._clock(skew)
    assert finding.status == status


# ---------------------------------------------------------------------------- Redis


@pytest.fixture
def own_redis(tmp_path, settings):
    """A Redis of the test's own, with a password; `settings` point at it."""
    socket = tmp_path / "r.sock"
    process = subprocess.Popen(
        [
            find_redis(),
            *("--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)),
            *("--requirepass", "swordfish", "--save", "", "--maxmemory-policy", "noeviction"),
        ],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(unix_socket_path=str(socket), password="swordfish")

    def answers():
        try:
            return client.ping()
        except redis.RedisError:
            return False

    await_(answers)
    settings.REDIS_URL = f"unix://:swordfish@{socket}?db=0"
    yield client
    client.close()
    process.kill()
    process.wait()


def test_a_redis_that_is_well(own_redis):
    assert {status for status, _, _ in look("redis")} == {"ok"}


def test_a_redis_with_another_password(own_redis, settings):
    settings.REDIS_URL = settings.REDIS_URL.replace("swordfish", "marlin")
    [(said, mend)] = failures("redis")
    assert "does not let us in" in said
    assert "REDIS_URL" in mend
    assert "marlin" not in said + mend


def test_a_redis_that_may_drop_keys(own_redis):
    own_redis.config_set("maxmemory-policy", "allkeys-lru")
    [(said, mend)] = failures("redis")
    assert "allkeys-lru" in said
    assert "noeviction" in mend


def test_a_redis_that_is_nearly_full_and_then_full(own_redis):
    used = own_redis.info()["used_memory"]
    own_redis.config_set("maxmemory", int(used * 1.1))
    assert any("when it is full nothing is sent" in said for _, said, _ in look("redis"))
    own_redis.config_set("maxmemory", 1)
    assert any("takes no writes" in said for said, _ in failures("redis"))


# ---------------------------------------------------------------------------- the machine


@pytest.mark.browser
def test_a_browser_that_starts_renders_a_page(db):
    assert {status for status, _, _ in look("chromium")} == {"ok"}


def script(path: Path, says: str) -> str:
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)
    return str(path)


def test_a_chromedriver_of_another_version(tmp_path, settings, monkeypatch):
    settings.CHROMIUM_BINARY = script(tmp_path / "chromium", "Chromium 120.0.1.2")
    settings.CHROMEDRIVER_BINARY = script(tmp_path / "driver", "ChromeDriver 119.0.1.2")
    (first, _), (second, _) = failures("chromium")
    assert "Chromium is 120.0.1.2, ChromeDriver 119.0.1.2" in first
    assert "a browser does not start here" in second


def test_a_browser_that_is_not_there(settings):
    settings.CHROMIUM_BINARY = "/nowhere/chromium"
    [(said, mend)] = failures("chromium")
    assert "/nowhere/chromium" in said
    assert "CHROMIUM_BINARY" in mend


def test_wa_js_of_another_version_and_none(tmp_path, settings):
    (tmp_path / "dist").mkdir()
    settings.WA_JS_PATH = tmp_path / "dist/wa.js"
    [(said, _)] = failures("wa-js")
    assert str(settings.WA_JS_PATH) in said
    settings.WA_JS_PATH.touch()
    (tmp_path / "package.json").write_text('{"version": "1.2.3"}')
    [(status, said, _)] = look("wa-js")
    assert status == "warning"
    assert "wa-js is 1.2.3" in said


def test_directories_that_cannot_be_written(tmp_path, settings):
    file = tmp_path / "a-file"
    file.touch()
    settings.MEDIA_ROOT = file / "media"
    [(said, mend)] = failures("storage")
    assert "media cannot be written" in said
    assert "MEDIA_ROOT" in mend


def test_a_disk_that_is_nearly_full(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "SPACE_BROKEN", 2**60)
    [finding] = machine._space("media", tmp_path)
    assert finding.status == "fail"
    monkeypatch.setattr(machine, "SPACE_BROKEN", 0)
    monkeypatch.setattr(machine, "SPACE_DOUBTFUL", 2**60)
    [finding] = machine._space("media", tmp_path)
    assert finding.status == "warning"


def test_a_tenant_with_a_time_zone_that_is_not_known_here(tenant):
    Tenant.objects.update(timezone="Europe/Atlantis")
    [(said, _)] = failures("time zones")
    assert "tenant acme" in said
    assert "Europe/Atlantis" in said


@pytest.mark.parametrize("zone", ["CET", "localtime"])
def test_a_tenant_with_a_time_zone_that_postgresql_reads_in_another_way(tenant, zone):
    Tenant.objects.update(timezone=zone)
    [(said, _)] = failures("time zones")
    assert "tenant acme" in said
    assert f"PostgreSQL reads the time zone '{zone}'" in said


# ---------------------------------------------------------------------------- what goes on


def test_archives_that_no_secret_opens_any_more(linked, worker, settings):
    worker.stop()
    assert {status for status, _, _ in look("archives")} == {"ok"}
    old = settings.WHATSAPP_SESSION_SECRETS
    settings.WHATSAPP_SESSION_SECRETS = ["n" * 40, *old]
    assert any("sealed with an older secret" in said for _, said, _ in look("archives"))
    settings.WHATSAPP_SESSION_SECRETS = ["n" * 40]
    said, mend = failures("archives")[0]
    assert f"the saved profile of account {linked.pk} does not open" in said
    assert "WHATSAPP_SESSION_SECRET" in mend


def test_a_beat_that_never_ran_one_that_is_silent_and_one_that_is_well(db, settings):
    assert failures("beat")[0][0] == "beat has run nothing here yet"
    every, _ = IntervalSchedule.objects.get_or_create(every=20, period="seconds")
    for name in settings.CELERY_BEAT_SCHEDULE:
        PeriodicTask.objects.create(name=name, task=name, interval=every)
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(hours=1))
    [(said, mend)] = failures("beat")
    assert said == "beat has run nothing for 60 minutes"
    assert "celery -A relance_project beat" in mend
    PeriodicTask.objects.update(last_run_at=timezone.now())
    assert {status for status, _, _ in look("beat")} == {"ok"}
    PeriodicTask.objects.filter(name="plan").update(enabled=False)
    assert any("switched off: plan" in said for _, said, _ in look("beat"))


def test_queues_that_nobody_reads_and_accounts_that_nobody_drives(linked, monkeypatch):
    assert [said.partition(" (")[0] for said, _ in failures("workers")] == [
        "no worker reads the queue default",
        "no worker reads the queue outside",
        "no worker reads the queue browser",
    ]
    assert not any("have no worker" in said for _, said, _ in look("workers"))
    Lease.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    assert any("1 linked accounts have no worker, acme/amina" in s for _, s, _ in look("workers"))
    limits.server().client.ping()  # the test's own is untouched


def test_workers_that_share_a_name(db, monkeypatch):
    answer = {"browser@one": [{"name": "default"}, {"name": "outside"}, {"name": "browser"}]}
    monkeypatch.setattr(Control, "broadcast", lambda *_, **__: [answer, answer])
    [(said, mend)] = failures("workers")
    assert said == "2 workers call themselves browser@one"
    assert "-n" in mend


def test_a_worker_from_before_the_queue_of_agents_and_webhooks(db, monkeypatch):
    answer = {"all@one": [{"name": "default"}, {"name": "browser"}]}
    monkeypatch.setattr(Control, "broadcast", lambda *_, **__: [answer])
    [(said, mend)] = failures("workers")
    assert said == "no worker reads the queue outside (chat agents, webhooks and mail)"
    assert "-Q default,outside" in mend


def test_a_mail_server_that_is_away(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    [(said, mend)] = failures("mail")
    assert said.startswith("the mail server 127.0.0.1:1 does not take us")
    assert "EMAIL_URL" in mend


@pytest.mark.parametrize(
    ("values", "status", "said"),
    [
        ({"ALLOWED_HOSTS": ["https://relance.test"]}, "fail", "no request ever matches"),
        ({"ALLOWED_HOSTS": ["relance.test:8000"]}, "fail", "no request ever matches"),
        ({"ALLOWED_HOSTS": []}, "fail", "every request is refused"),
        ({"ALLOWED_HOSTS": ["*"]}, "warning", "takes any name"),
        ({"ALLOWED_HOSTS": ["relance.test"]}, "warning", "without HTTPS"),
        ({"ALLOWED_HOSTS": ["relance.test"], "HTTPS": True}, "ok", "over HTTPS as relance.test"),
        ({"DEBUG": True}, "warning", "DEBUG is on"),
        (
            {"HTTPS": True, "CSRF_TRUSTED_ORIGINS": ["http://relance.test"]},
            "fail",
            "CSRF_TRUSTED_ORIGINS has 'http://relance.test'",
        ),
    ],
)
def test_what_web_browsers_are_told(settings, values, status, said):
    settings.DEBUG = False
    for name, value in values.items():
        setattr(settings, name, value)
    assert any(s == status and said in text for s, text, _ in look("settings"))


def test_sizes_are_for_people():
    assert findings.megabytes(300 * 2**20) == "300 MB"
    assert findings.megabytes(5 * 2**30) == "5.0 GB"
