"""Programs are started, started again, given up on with a sentence, and all gone at the end."""

from __future__ import annotations

import os
import signal
import socket
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import processes
from demo.processes import Program, ProgramFailed, Supervisor

# Says who it is, and has a child that would outlive it.
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1], "a") as said:
    print(os.getpid(), child.pid, file=said, flush=True)
time.sleep(600)
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(logs=tmp_path / "log", environment=os.environ) as running:
        yield running


def family(said: Path) -> list[list[int]]:
    """[pid, pid of the child] of every start."""
    lines = said.read_text().splitlines() if said.exists() else []
    return [[int(pid) for pid in line.split()] for line in lines if len(line.split()) == 2]


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(*pids: int) -> bool:
    until = time.monotonic() + 10
    while any(runs(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(runs(pid) for pid in pids)


def program(said: Path, **values: object) -> Program:
    before = len(family(said))
    return Program(
        name="parent",
        command=(sys.executable, "-c", PARENT, str(said)),
        ready=lambda: len(family(said)) > before,
        **values,  # type: ignore[arg-type]
    )


def test_a_killed_program_comes_back_and_its_orphans_do_not_stay(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    supervisor.start(program(said))
    supervisor.wait_ready()
    [first] = family(said)

    supervisor.signal("parent", signal.SIGKILL)

    assert gone(*first)
    until = time.monotonic() + 10
    while len(family(said)) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert supervisor.pid("parent") == family(said)[1][0]
    assert supervisor.starts("parent") == 2


def test_stopping_leaves_nothing_behind(supervisor: Supervisor, tmp_path: Path) -> None:
    said = tmp_path / "said"
    supervisor.start(program(said))
    supervisor.wait_ready()
    supervisor.stop()
    assert gone(*family(said)[0])


def test_a_program_that_does_not_start_is_told_with_its_last_words(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    command = (sys.executable, "-c", "raise SystemExit('the port 8000 is taken')")
    supervisor.start(Program("web", command, ready=lambda: False))
    with pytest.raises(ProgramFailed) as failed:
        supervisor.wait_ready()
    assert str(failed.value) == (
        f"web ended with 1 before it was ready (the port 8000 is taken): see {tmp_path}/log/web.log"
    )


def test_a_program_that_never_gets_ready_is_told(supervisor: Supervisor, tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    supervisor.start(Program("web", command, ready=lambda: False, ready_seconds=0.3))
    with pytest.raises(ProgramFailed, match=r"web was not ready within 0 s: see .*/web\.log"):
        supervisor.wait_ready()


def test_programs_end_with_the_process_that_supervises_them(tmp_path: Path) -> None:
    said = tmp_path / "said"
    script = textwrap.dedent(
        """
        import os, sys, time
        from pathlib import Path
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relance_project.settings")
        from demo.processes import Program, Supervisor
        supervisor = Supervisor(logs=Path(sys.argv[2]), environment=os.environ)
        command = (sys.executable, "-c", sys.argv[3], sys.argv[1])
        supervisor.start(Program("parent", command, ready=lambda: True))
        time.sleep(600)
        """
    )
    arguments = [sys.executable, "-c", script, str(said), str(tmp_path / "log"), PARENT]
    pid = os.posix_spawn(sys.executable, arguments, os.environ)
    until = time.monotonic() + 20
    while not family(said) and time.monotonic() < until:
        time.sleep(0.02)
    [[parent, child]] = family(said)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert gone(parent)
    os.kill(child, signal.SIGKILL)  # a real program's children end with it by themselves


def test_a_port_in_use_is_passed_over() -> None:
    first = processes.free_port()
    with socket.create_server(("127.0.0.1", first)):
        assert first < processes.free_port(first) < first + 20
