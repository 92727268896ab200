"""The embedded PostgreSQL and Redis: started, shared, mended and stopped."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from relance_project import local
from relance_project.local_supervisor import postgres_answers, processes_in, reachable_by

USER = """
import sys, time
from pathlib import Path
from relance_project import local
services = local.start(Path(sys.argv[1]), fast=True)
print("joined", flush=True)
sys.stdin.read()
"""


def await_(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def postgres_pid(directory: Path) -> int:
    return int((directory / "data/postmaster.pid").read_text().split()[0])


def redis_pid(services: local.LocalServices) -> int:
    return int(redis.Redis.from_url(services.redis_url).info("server")["process_id"])


def supervisor_pid(directory: Path) -> int:
    status = Path(f"/proc/{postgres_pid(directory)}/status").read_text()
    return int(status.split("PPid:")[1].split()[0])


def nothing_runs(directory: Path) -> bool:
    homes = [directory / "data", directory / "redis"]
    return local.stopped(directory) and not any(any(processes_in(home)) for home in homes)


def works(services: local.LocalServices) -> bool:
    try:
        with psycopg.connect(services.database_url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
        return bool(redis.Redis.from_url(services.redis_url).ping())
    except (psycopg.OperationalError, redis.RedisError):
        return False


def another_user(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(directory)],
        cwd=local.REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "joined\n"
    return process


@pytest.fixture
def directory() -> Iterator[Path]:
    """A services' directory that ends empty of processes; not pytest's, which root alone enters."""
    path = local.state_dir() / f"t-{os.getpid()}"
    yield path
    if path.exists():
        await_(lambda: nothing_runs(path))
        shutil.rmtree(path)


@pytest.fixture
def services(directory: Path) -> Iterator[local.LocalServices]:
    with local.start(directory, fast=True) as started:
        yield started


def test_both_answer_and_are_what_they_claim(services: local.LocalServices) -> None:
    with psycopg.connect(services.database_url) as connection:
        row = connection.execute(
            "SELECT current_database(), current_setting('TimeZone'), "
            "current_setting('server_encoding'), current_setting('listen_addresses'), "
            "datcollate FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert row == ("relance", "UTC", "UTF8", "", "C.UTF-8")
    client = redis.Redis.from_url(services.redis_url)
    assert client.config_get("save") == {"save": ""}
    assert client.config_get("port") == {"port": "0"}


def test_only_the_owner_can_enter_data_and_sockets(services: local.LocalServices) -> None:
    for name in ("data", "run", "redis"):
        assert (services.directory / name).stat().st_mode & 0o077 == 0


def test_durability_is_given_up_only_when_asked(directory: Path) -> None:
    with (
        local.start(directory) as services,
        psycopg.connect(services.database_url) as connection,
    ):
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_celery_gets_its_own_spelling_of_the_socket() -> None:
    assert local.broker_url("unix:///a/redis.sock?db=3") == (
        "redis+socket:///a/redis.sock?virtual_host=3"
    )
    assert local.broker_url("redis://:x@h:6379/1") == "redis://:x@h:6379/1"


def test_a_killed_postgres_comes_back_with_its_data(services: local.LocalServices) -> None:
    with psycopg.connect(services.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    os.kill(killed := postgres_pid(services.directory), signal.SIGKILL)
    await_(lambda: postgres_answers(services.config))
    assert postgres_pid(services.directory) != killed
    with psycopg.connect(services.database_url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (42,)


def test_a_killed_redis_comes_back(services: local.LocalServices) -> None:
    os.kill(killed := redis_pid(services), signal.SIGKILL)
    await_(lambda: works(services))
    assert redis_pid(services) != killed


def test_it_is_started_again_after_its_supervisor_was_killed(
    services: local.LocalServices,
) -> None:
    os.kill(killed := supervisor_pid(services.directory), signal.SIGKILL)
    await_(lambda: works(services) and supervisor_pid(services.directory) != killed)


def test_nothing_is_left_when_supervisor_and_user_are_killed(directory: Path) -> None:
    user = another_user(directory)
    supervisor = supervisor_pid(directory)
    user.kill()
    os.kill(supervisor, signal.SIGKILL)
    user.wait()
    await_(lambda: nothing_runs(directory))


def test_it_stops_with_a_user_that_was_killed(directory: Path) -> None:
    user = another_user(directory)
    assert not nothing_runs(directory)
    user.kill()
    user.wait()
    await_(lambda: nothing_runs(directory))


def test_a_second_user_joins_and_the_last_one_ends_it(directory: Path) -> None:
    first, second = another_user(directory), another_user(directory)
    started = postgres_pid(directory)
    first.kill()
    first.wait()
    with local.start(directory, fast=True) as third:
        second.kill()
        second.wait()
        assert works(third)
        assert postgres_pid(directory) == started
    await_(lambda: nothing_runs(directory))


def test_users_that_come_while_it_stops_get_a_new_one(directory: Path) -> None:
    for _ in range(3):
        with local.start(directory, fast=True) as services:
            assert works(services)


def test_stale_pid_file_and_sockets_are_survived(directory: Path) -> None:
    with local.start(directory, fast=True):
        pid_file = (directory / "data/postmaster.pid").read_text()
    await_(lambda: nothing_runs(directory))
    # The number now belongs to a living process that is no PostgreSQL: this one.
    stale = pid_file.replace(pid_file.split()[0], str(os.getpid()), 1)
    (directory / "data/postmaster.pid").write_text(stale)
    (directory / "run/redis.sock").write_text("")
    (directory / "run/.s.PGSQL.5432").write_text("")
    (directory / "run/.s.PGSQL.5432.lock").write_text(stale)
    with local.start(directory, fast=True) as services:
        assert works(services)


def test_a_half_made_cluster_is_made_anew(directory: Path) -> None:
    (directory / "data.new.1/base").mkdir(parents=True)
    with local.start(directory, fast=True) as services:
        assert works(services)
    assert not list(directory.glob("data.new.*"))


def test_another_versions_data_is_refused_with_a_way_out(directory: Path) -> None:
    with local.start(directory, fast=True):
        pass
    await_(lambda: nothing_runs(directory))
    (directory / "data/PG_VERSION").write_text("9\n")
    with pytest.raises(local.LocalServicesError, match="made by PostgreSQL 9"):
        local.start(directory, fast=True)


def test_two_processes_get_different_slots(directory: Path) -> None:
    directory.mkdir(parents=True)
    mine = local.claim_slot(directory)
    code = (
        "import sys; from pathlib import Path; from relance_project import local; "
        "print(local.claim_slot(Path(sys.argv[1])))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(directory)],
        check=True,
        capture_output=True,
        text=True,
        cwd=local.REPOSITORY,
    )
    assert int(other.stdout) != mine


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_a_clone_below_a_directory_of_roots_alone_keeps_its_data_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setattr(local, "REPOSITORY", home / "relance")
    chosen = local.state_dir()
    assert not chosen.is_relative_to(tmp_path)
    assert reachable_by(local.unprivileged_user(), chosen / "services")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_programs_below_a_directory_of_roots_alone_are_copied_within_reach(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "home"
    hidden.mkdir(mode=0o700)
    package = Path(local.find_postgres()).parents[1]
    for found in (package, package.parent / f"{package.name}.libs"):
        shutil.copytree(found, hidden / found.name, symlinks=True)
    programs = hidden / package.name / "pginstall" / "bin"
    monkeypatch.setattr(local, "find_postgres", lambda: str(programs))
    with local.start(directory, fast=True) as services:
        assert works(services)
        running = Path(f"/proc/{postgres_pid(directory)}/exe").resolve()
    assert running.is_relative_to(directory)


def test_a_path_too_long_for_a_socket_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "REPOSITORY", Path("/tmp") / ("long" * 30))
    assert len(f"{local.state_dir()}/services/run/.s.PGSQL.5432.lock") <= 107
