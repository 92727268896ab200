"""What a browser leaves on its machine: processes, files, ports and secrets."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.chromium_rig import ROOT, WA_JS, ChromiumRig, group_of
from tests.contract.rig import OPEN, Session, wait_until
from whatsapp.driver import base
from whatsapp.driver.launch import start_browser
from whatsapp.driver.processes import (
    command_line,
    end_group,
    group_members,
    is_alive,
    processes_with,
)

pytestmark = pytest.mark.browser


def main_process(group: int) -> int:
    """The browser itself: no chromedriver, no `--type=` of a child, no script around it."""
    mains = [
        pid
        for pid in group_members(group)
        if pid != group
        and b"--type=" not in command_line(pid)
        and b"--user-data-dir" in command_line(pid)
        and not command_line(pid).startswith(b"/bin/sh")
    ]
    assert len(mains) == 1, mains
    return mains[0]


# ---------------------------------------------------------------------------- processes


def test_all_processes_are_in_one_group_and_close_ends_them(own: Session):
    group = group_of(own)
    members = group_members(group)
    own.driver.close()

    assert len(members) > 3
    assert os.getpgid(0) != group
    assert group_members(group) == []
    assert not [pid for pid in members if is_alive(pid)]


def test_close_ends_the_crash_handlers_too(own: Session):
    # All that a browser starts inherits its TMPDIR, which no other browser has. What is outside
    # of its group are crash handlers only.
    group = group_of(own)
    related = processes_with(f"TMPDIR={own.driver._browser.scratch}")
    outside = [pid for pid in related if os.getpgid(pid) != group]
    names = [command_line(pid).split(b"\0")[0].decode() for pid in outside]
    own.driver.close()

    assert len(related) > 3
    assert {Path(name).name for name in names} <= {"chrome_crashpad_handler"}
    # They are killed, and nobody waits until they are gone.
    wait_until(lambda: not [pid for pid in related if is_alive(pid)], "every process is gone")


@pytest.mark.parametrize("moment", ["before", "chromedriver", "chromium"])
def test_close_while_it_starts_leaves_nothing_running(chromium: ChromiumRig, profile, moment):
    """A worker that was frozen while it opened is closed when it wakes: others have the account."""

    def running() -> list[bytes]:
        lines = [command_line(pid) for pid in processes_with(f"HOME={profile.absolute()}")]
        # Crash handlers end by themselves when their browser has.
        return [line for line in lines if line and b"crashpad" not in line]

    def opened() -> str:
        try:
            return str(session.driver.open(deadline=OPEN))
        except base.DriverError as error:
            return error.code

    session = chromium.session(profile)
    if moment == "before":
        session.driver.close()
        assert (opened(), running()) == ("browser_failed", [])
        return
    with ThreadPoolExecutor(1) as threads:
        opening = threads.submit(opened)
        wait_until(lambda: [line for line in running() if moment.encode() in line], moment)
        session.driver.close()
        left = running()
        assert (opening.result(OPEN), left) == ("browser_failed", [])
    assert running() == []


def test_the_browser_listens_on_no_port(steady: Session):
    group = group_of(steady)
    listening = {
        line.split()[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    owned = set()
    for pid in group_members(group):
        if pid == group:  # chromedriver: loopback, its session's name is the key
            continue
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                owned.add(target[8:-1])

    assert owned
    assert not owned & listening


@pytest.mark.parametrize("victim", ["chromium", "chromedriver"])
def test_a_killed_process_is_noticed_at_once(own: Session, victim: str):
    group = group_of(own)
    os.kill(main_process(group) if victim == "chromium" else group, signal.SIGKILL)
    lost = own.wait_for(base.BrowserLost)
    with pytest.raises(base.SessionLost) as gone:
        own.driver.status()
    own.driver.close()

    assert lost.reason == gone.value.code == "browser_gone"
    assert group_members(group) == []


def test_a_browser_does_not_outlive_its_chromedriver(own: Session):
    group = group_of(own)
    os.kill(group, signal.SIGKILL)

    wait_until(lambda: group_members(group) == [], "the browser ends by itself")


def test_a_browser_does_not_outlive_its_worker(chromium: ChromiumRig, profile: Path):
    script = textwrap.dedent(
        f"""
        import threading, time
        from pathlib import Path
        from whatsapp.driver.chromium import ChromiumDriver
        from whatsapp.driver.launch import ChromiumConfig
        config = ChromiumConfig(url={chromium.config.url!r}, wa_js=Path({str(WA_JS)!r}))
        driver = ChromiumDriver(config, profile=Path({str(profile)!r}), on_event=lambda _: None)
        # From a thread that ends, as those of a pool do: that must not end the browser.
        thread = threading.Thread(target=lambda: driver.open(deadline={OPEN}))
        thread.start()
        thread.join()
        time.sleep(0.3)
        print(driver.process_group, driver.status(), flush=True)
        time.sleep(600)
        """
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    group, state = worker.stdout.readline().split()
    alive = len(group_members(int(group)))
    worker.kill()
    worker.wait()
    worker.stdout.close()
    try:
        wait_until(lambda: group_members(int(group)) == [], "the browser ends with its worker")
    finally:
        end_group(int(group), grace=0)

    assert state == "qr"
    assert alive > 3


def test_a_stopped_browser_is_closed_all_the_same(own: Session):
    group = group_of(own)
    os.killpg(group, signal.SIGSTOP)
    started = time.monotonic()
    own.driver.close()

    assert group_members(group) == []
    assert time.monotonic() - started < 5


# ----------------------------------------------------------------------------- profiles


def test_the_profile_is_for_its_owner_only(own: Session, profile: Path):
    assert stat.S_IMODE(profile.stat().st_mode) == 0o700


@pytest.mark.parametrize("owner", ["dead", "another process", "another host"])
def test_locks_that_no_browser_holds_do_not_matter(
    chromium: ChromiumRig, profile: Path, owner: str
):
    dead = subprocess.Popen(["true"])
    dead.wait()
    host = "elsewhere" if owner == "another host" else socket.gethostname()
    pid = os.getpid() if owner == "another process" else dead.pid
    profile.mkdir()
    (profile / "SingletonLock").symlink_to(f"{host}-{pid}")
    (profile / "SingletonSocket").symlink_to("/tmp/nowhere/SingletonSocket")
    session = chromium.session(profile)
    state = session.driver.open(deadline=OPEN)
    session.driver.close()

    assert state is base.PageState.QR


def test_a_closed_browser_leaves_nothing_in_the_temporary_directory(
    chromium: ChromiumRig, profile: Path, monkeypatch
):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        session = chromium.session(profile)
        session.driver.open(deadline=OPEN)
        during = list(Path(folder).iterdir())
        session.driver.close()
        after = list(Path(folder).iterdir())

    assert during
    assert after == []


def test_a_long_path_of_the_temporary_directory_does_not_matter(
    chromium: ChromiumRig, profile: Path, tmp_path: Path, monkeypatch
):
    long = tmp_path / ("long" * 20)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    session = chromium.session(profile)
    state = session.driver.open(deadline=OPEN)
    session.driver.close()

    assert state is base.PageState.QR


def test_the_browser_is_told_no_secrets(steady: Session):
    assert "SECRET_KEY" in os.environ  # tests/conftest.py sets it, so it could have been passed on
    for pid in group_members(group_of(steady)):
        names = {
            pair.split(b"=")[0].decode()
            for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        }
        assert not names & {"SECRET_KEY", "JWT_SIGNING_KEY", "DATABASE_URL", "REDIS_URL"}


def test_the_first_tab_asks_nobody(chromium: ChromiumRig, profile: Path):
    addresses = []
    for ending in ("closed", "killed", "closed"):  # on a new profile, a used one, a broken one
        browser = start_browser(chromium.config, profile, deadline=OPEN)
        with browser.log:
            addresses.append([browser.web.current_url, len(browser.web.window_handles)])
            browser.end(ask=ending == "closed")

    # The headless shell has a blank page of its own.
    assert addresses in ([["about:blank", 1]] * 3, [["data:,", 1]] * 3)
