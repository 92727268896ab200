"""Setting a clone up: what is skipped, what is done again, and what the user is told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relance_project.local import REPOSITORY
from scripts import bootstrap


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty clone with lock files, whose commands are recorded instead of run."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / "requirements").mkdir()
    for name in ("base", "dev", "node"):
        (tmp_path / f"requirements/{name}.txt").write_text(f"{name}==1\n")
    (tmp_path / "package-lock.json").write_text("{}")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "relance"\n')
    monkeypatch.setattr(bootstrap, "REPOSITORY", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "STAMPS", tmp_path / ".venv/.relance-stamps.json")
    monkeypatch.setattr(bootstrap, "REQUIREMENTS", tmp_path / "requirements")
    monkeypatch.setattr(bootstrap, "WA_JS", tmp_path / "node_modules/wa.js")
    return tmp_path


@pytest.fixture
def commands(clone: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    recorded: list[list[str]] = []

    def record(command: list[str | Path], *_: str, **__: str) -> None:
        recorded.append([str(word) for word in command])
        if "ci" in command:
            bootstrap.WA_JS.parent.mkdir(exist_ok=True)
            bootstrap.WA_JS.touch()

    monkeypatch.setattr(bootstrap, "run", record)
    return recorded


def fail(*_: object, **__: object) -> None:
    raise bootstrap.BootstrapError("no network")


def test_python_packages_are_installed_once_for_a_lock_file(
    clone: Path, commands: list[list[str]]
) -> None:
    bootstrap.install_python_packages(dev=True)
    bootstrap.install_python_packages(dev=True)
    assert len(commands) == 1
    assert "--require-hashes" in commands[0]
    (clone / "requirements/dev.txt").write_text("dev==2\n")
    bootstrap.install_python_packages(dev=True)
    assert len(commands) == 2


def test_the_development_set_serves_the_product_too(clone: Path, commands: list[list[str]]) -> None:
    bootstrap.install_python_packages(dev=True)
    bootstrap.install_python_packages(dev=False)
    assert len(commands) == 1


def test_the_product_set_does_not_serve_development(clone: Path, commands: list[list[str]]) -> None:
    bootstrap.install_python_packages(dev=False)
    bootstrap.install_python_packages(dev=True)
    assert [Path(command[-1]).name for command in commands] == ["base.txt", "dev.txt"]


def test_the_clone_itself_is_installed_once_for_what_it_says_of_itself(
    clone: Path, commands: list[list[str]]
) -> None:
    bootstrap.install_this_clone()
    bootstrap.install_this_clone()
    assert len(commands) == 1
    assert commands[0][-2:] == ["--editable", str(clone)]
    (clone / "pyproject.toml").write_text('[project]\nname = "relance"\nversion = "2"\n')
    bootstrap.install_this_clone()
    assert len(commands) == 2


def test_a_failed_step_leaves_no_stamp(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap.stamp("npm", "of an older lock")
    bootstrap.WA_JS.parent.mkdir()
    bootstrap.WA_JS.touch()
    monkeypatch.setattr(bootstrap, "run", fail)
    with pytest.raises(bootstrap.BootstrapError):
        bootstrap.install_npm_packages(dev=True)
    with pytest.raises(bootstrap.BootstrapError):
        bootstrap.install_python_packages(dev=True)
    assert bootstrap.stamps() == {}


def test_npm_packages_that_were_deleted_are_installed_again(
    clone: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "find_npm", lambda: (Path("npm"), "/bin"))
    bootstrap.install_npm_packages(dev=True)
    bootstrap.install_npm_packages(dev=True)
    assert len(commands) == 1
    assert "--ignore-scripts" in commands[0]
    bootstrap.WA_JS.unlink()
    bootstrap.install_npm_packages(dev=True)
    assert len(commands) == 2


def test_without_an_npm_the_one_of_the_wheel_is_used(
    clone: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(clone))
    bootstrap.install_npm_packages(dev=False)
    assert commands[0][-1].endswith("requirements/node.txt")
    assert commands[1][0] == str(clone / ".venv/bin/npm")
    assert "--omit=dev" in commands[1]


def test_a_clone_that_was_moved_gets_a_new_venv(clone: Path, commands: list[list[str]]) -> None:
    (clone / ".venv/bin/python").touch()
    bootstrap.make_venv(chosen=False)
    bootstrap.make_venv(chosen=False)
    assert len(commands) == 1
    venv = bootstrap.stamps()["venv"].split()[0]
    bootstrap.stamp("venv", f"{venv} /somewhere/else")
    bootstrap.make_venv(chosen=False)
    assert len(commands) == 2


def test_another_python_replaces_the_venv_only_when_it_was_chosen(
    clone: Path, commands: list[list[str]]
) -> None:
    (clone / ".venv/bin/python").touch()
    bootstrap.stamp("venv", f"3.0.0 {clone}")
    bootstrap.make_venv(chosen=False)
    assert commands == []
    bootstrap.make_venv(chosen=True)
    assert len(commands) == 1


def test_a_venv_that_is_a_link_to_another_clones_is_left_alone(
    clone: Path, commands: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared = tmp_path_factory.mktemp("shared")
    (clone / ".venv").rename(shared / ".venv")
    (clone / ".venv").symlink_to(shared / ".venv")
    bootstrap.make_venv(chosen=True)
    assert commands == []


def test_damaged_stamps_mean_that_nothing_was_done(clone: Path) -> None:
    bootstrap.STAMPS.write_text('{"python": ')
    assert bootstrap.stamps() == {}


def test_secrets_are_made_once_differ_and_are_for_the_owner_only(clone: Path) -> None:
    bootstrap.write_env()
    written = (clone / ".env").read_text()
    bootstrap.write_env()
    assert (clone / ".env").read_text() == written
    assert (clone / ".env").stat().st_mode & 0o077 == 0
    values = [line.split("=")[1] for line in written.splitlines() if "=" in line]
    assert len(set(values)) == len(bootstrap.SECRETS)
    assert all(len(value) >= 32 for value in values)


def test_without_root_or_sudo_one_sentence_says_what_to_install(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda name: "/bin/apt-get" if name == "apt-get" else None)
    with pytest.raises(bootstrap.BootstrapError, match=r"apt-get install chromium chromium-driver"):
        bootstrap.install_system_packages(["chromium", "chromium-driver"], "Chromium is missing")


def test_two_at_once_wait_for_each_other(clone: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from scripts import bootstrap\n"
        "bootstrap.REPOSITORY = Path(sys.argv[1])\n"
        "with bootstrap.one_at_a_time(): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(clone)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(TimeoutError), bootstrap_within(seconds=1):
        pass
    holder.kill()  # the kernel lets go of a killed holder's lock
    holder.communicate()
    with bootstrap_within(seconds=20):
        pass


class bootstrap_within:  # noqa: N801 - reads as the statement it stands for
    """`bootstrap.one_at_a_time()`, given up after some seconds."""

    def __init__(self, *, seconds: int) -> None:
        self.seconds = seconds
        self.lock = bootstrap.one_at_a_time()

    def __enter__(self) -> None:
        def too_long(*_: object) -> None:
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, too_long)
        signal.alarm(self.seconds)
        try:
            self.lock.__enter__()
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    def __exit__(self, *error: object) -> None:
        self.lock.__exit__(None, None, None)


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "--no-print-directory", "lint", f"PYTHON={old}"],
        check=False,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert f"'{old}' is not a Python 3.11, 3.12 or 3.13" in done.stderr


@pytest.mark.skipif((REPOSITORY / ".venv").is_symlink(), reason=".venv is another clone's")
def test_a_second_run_takes_less_than_a_second() -> None:
    command = [sys.executable, "scripts/bootstrap.py", "--dev", "--browser"]
    subprocess.run(command, check=True, cwd=REPOSITORY)
    took = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run(command, check=True, cwd=REPOSITORY)
        took.append(time.monotonic() - began)
    assert min(took) < 1
    assert json.loads((REPOSITORY / ".venv/.relance-stamps.json").read_text())
