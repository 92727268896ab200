"""What is asked of the web process, workers and beat by whoever supervises them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from demo import processes
from relance_project import health, heartbeat
from relance_project.local import REPOSITORY
from scripts import healthcheck
from tests.operators.conftest import newest_migration
from tests.project.test_local import await_
from whatsapp import remote


def test_ready_while_postgresql_and_redis_answer(client, db):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "database": "ok", "redis": "ok"}


def test_degraded_but_ready_without_redis(client, db, settings):
    settings.CACHES = {
        "default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    }
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "degraded", "database": "ok", "redis": "no answer"}


def test_not_ready_while_postgresql_takes_no_writes(client, db):
    connection.cursor().execute("SET LOCAL transaction_read_only = on")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "read-only"


def test_not_ready_before_the_migrations_and_ready_after(client, db):
    health._migrated.cache_clear()
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied(*newest_migration("whatsapp"))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "migrations missing")
    recorder.record_applied(*newest_migration("whatsapp"))
    assert client.get("/readyz").status_code == 200


def test_neither_ready_nor_alive_without_postgresql(client, db, monkeypatch):
    connection.cursor().execute("SAVEPOINT before")
    with pytest.raises(Exception, match="division"):
        connection.cursor().execute("SELECT 1 / 0")  # the connection takes nothing after this
    for path in ("/readyz", "/healthz"):
        assert client.get(path).status_code == 503
    connection.cursor().execute("ROLLBACK TO SAVEPOINT before")


def test_a_heartbeat_that_is_old_missing_or_of_another_boot_is_no_life(tmp_path, settings):
    settings.HEARTBEAT_FILE = str(tmp_path / "heartbeat")
    file = tmp_path / "heartbeat"
    assert healthcheck.heartbeat(file, 60) == 1
    heartbeat.renew()
    assert healthcheck.heartbeat(file, 60) == 0
    file.write_text(str(time.monotonic() - 61))
    assert healthcheck.heartbeat(file, 60) == 1
    file.write_text(str(time.monotonic() + 1000))
    assert healthcheck.heartbeat(file, 60) == 1
    file.write_text("rubbish")
    assert healthcheck.heartbeat(file, 60) == 1


def test_a_heartbeat_that_cannot_be_written_stops_nobody(settings):
    settings.HEARTBEAT_FILE = "/nowhere/heartbeat"
    heartbeat.renew()


def test_a_browser_worker_whose_leases_are_not_renewed_has_no_heartbeat(
    tmp_path, settings, worker, monkeypatch
):
    settings.HEARTBEAT_FILE = str(tmp_path / "heartbeat")
    monkeypatch.setattr(remote, "pools", [worker.pool])
    worker.pool._upkeep.beaten_at -= settings.WHATSAPP_LEASE_SECONDS + 1
    heartbeat.Heartbeat(None)._beat()
    assert not (tmp_path / "heartbeat").exists()
    worker.pool._upkeep.beat()
    heartbeat.Heartbeat(None)._beat()
    assert (tmp_path / "heartbeat").exists()


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_and_a_real_beat_are_alive_until_they_hang(tmp_path):
    environment = {**os.environ, "DATABASE_URL": processes.this_database()}
    with processes.Supervisor(logs=tmp_path / "log", environment=environment) as supervisor:
        worker = processes.worker("default", queues="default", pool="threads", concurrency=1)
        for program in (worker, processes.beat(lambda: True)):
            file = {"HEARTBEAT_FILE": str(tmp_path / program.name)}
            supervisor.start(replace(program, environment=file))
        for name in ("default", "beat"):

            def asked(max_age, name=name):
                return subprocess.run(
                    [sys.executable, "scripts/healthcheck.py", "--max-age", str(max_age)],
                    check=False,
                    cwd=REPOSITORY,
                    env={"HEARTBEAT_FILE": str(tmp_path / name)},
                    capture_output=True,
                ).returncode

            await_(lambda: asked(60) == 0, 60)
            written = (tmp_path / name).read_text()
            await_(lambda: (tmp_path / name).read_text() != written, 60)  # noqa: B023
            os.kill(supervisor.pid(name), signal.SIGSTOP)
            await_(lambda: asked(1) == 1, 30)
            os.kill(supervisor.pid(name), signal.SIGCONT)
            await_(lambda: asked(7) == 0, 30)
