"""Faults are injected between steps, by those who asked for them only."""

import os
import signal
import subprocess
import sys

from whatsapp import failpoints

REACH = "from whatsapp.failpoints import failpoint; failpoint('here'); print('went on')"


def reach(spec: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", REACH],
        env={**os.environ, "RELANCE_FAILPOINT": spec},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_outside_of_tests_a_failpoint_is_a_function_that_does_nothing():
    assert failpoints.failpoint is failpoints._nothing


def test_a_named_failpoint_kills_and_others_do_not():
    assert reach("elsewhere,here").returncode == -signal.SIGKILL
    assert reach("elsewhere").stdout == "went on\n"


def test_a_marker_file_lets_it_kill_once_in_all(tmp_path):
    spec = f"here@{tmp_path / 'marker'}"
    assert reach(spec).returncode == -signal.SIGKILL
    assert reach(spec).stdout == "went on\n"


def test_a_directory_arms_it_while_processes_run_and_tells_who_was_there(tmp_path):
    assert reach(f"{tmp_path}/").stdout == "went on\n"
    (tmp_path / "here").write_text("kill")
    assert reach(f"{tmp_path}/").returncode == -signal.SIGKILL
    assert (tmp_path / "here.reached").read_text().isdigit()
    assert reach(f"{tmp_path}/").stdout == "went on\n"


def test_a_process_waits_at_a_failpoint_until_it_is_let_go(tmp_path):
    (tmp_path / "here").write_text("wait")
    with subprocess.Popen(
        [sys.executable, "-c", REACH],
        env={**os.environ, "RELANCE_FAILPOINT": f"{tmp_path}/"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        told = tmp_path / "here.reached"
        while not told.exists():
            assert process.poll() is None
        assert process.poll() is None
        told.unlink()
        assert process.communicate(timeout=30)[0] == "went on\n"
