"""Start one Chromium under chromedriver on one profile directory.

Flags and environment facts: docs/explanation/whatsapp-web.md.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import structlog
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ChromeOptions, Remote
from selenium.webdriver.common.selenium_manager import SeleniumManager
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from urllib3.exceptions import HTTPError

from whatsapp.driver.base import Retryable
from whatsapp.driver.processes import (
    ask_to_end,
    command_line,
    end_group,
    group_members,
    processes_with,
    start_group,
)

log = structlog.get_logger(__name__)

WA_JS = Path("node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js")

LOW_MEMORY_FLAGS = (
    # What they save together: docs/benchmarks.md.
    "--enable-low-end-device-mode",
    "--js-flags=--lite-mode",
    "--in-process-gpu",
    "--disable-software-rasterizer",
    # The network service in the browser's process, as on small phones: 12 to 17 MiB.
    "--enable-features=NetworkServiceInProcess2",
    "--window-size=800,600",
    # Chromium keeps a renderer with pages for its address bar, which nobody sees: 49 MiB.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup",
)

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "XDG_RUNTIME_DIR")
"""What a browser gets of our environment. The rest holds secrets it has no use for."""

PREFERENCES = {
    # Without this the first tab is the "new tab" page: it asks the search engine's server, takes
    # over 100 ms of a start, and chromedriver waits for it. The headless shell has none.
    "session.restore_on_startup": 4,  # open the following
    "session.startup_urls": ["about:blank"],
}

BASE_FLAGS = (
    "--remote-debugging-pipe",  # no DevTools port; the browser ends when chromedriver does
    "--enable-logging=stderr",  # consoles among it: that is how the page tells us (channel.py)
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-breakpad",
    "--mute-audio",
    # A page nobody looks at must not be slowed down: acks and reconnects run on timers.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)


@dataclass(frozen=True, slots=True)
class ChromiumConfig:
    """How to start a browser. Paths left empty are looked for: PATH, then Selenium Manager."""

    url: str = "https://web.whatsapp.com/"
    wa_js: Path = WA_JS
    binary: str = ""
    chromedriver: str = ""
    user_agent: str = ""  # empty: the binary's own, as it says when it is not headless
    host_rules: str = ""  # `--host-resolver-rules`: the simulator as web.whatsapp.com
    low_memory: bool = True
    flags: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)  # added to `PASSED_ON`

    @property
    def is_shell(self) -> bool:
        """Whether `binary` is the headless shell, which has other flags and another name."""
        return "headless-shell" in self.binary

    def with_paths(self) -> ChromiumConfig:
        """The same with `binary` and `chromedriver` filled in. Raises `Retryable`
        (``browser_failed``) when there is none."""
        binary = self.binary or shutil.which("chromium") or shutil.which("google-chrome") or ""
        driver = self.chromedriver or shutil.which("chromedriver") or ""
        if not (binary and driver):
            try:
                found = SeleniumManager().binary_paths(["--browser", "chrome"])
            except WebDriverException as error:
                raise Retryable("browser_failed", "no Chromium and none to be had") from error
            binary, driver = binary or found["browser_path"], driver or found["driver_path"]
        return replace(self, binary=binary, chromedriver=driver)


def arguments(config: ChromiumConfig, profile: Path) -> list[str]:
    """The command line of the browser."""
    args = [*BASE_FLAGS, f"--user-data-dir={profile}"]
    args.append(f"--user-agent={config.user_agent or plain_user_agent(config.binary)}")
    # The headless shell has no other mode and an older meaning of the flag.
    args.append("--headless" if config.is_shell else "--headless=new")
    if os.geteuid() == 0:
        # Chromium refuses root otherwise. Containers of ours run as a user, with the sandbox.
        args.append("--no-sandbox")
    if config.host_rules:
        args.append(f"--host-resolver-rules={config.host_rules}")
    if config.low_memory:
        args.extend(LOW_MEMORY_FLAGS)
        if config.is_shell:
            # It starts nothing outside of the sandbox, so it needs no zygote for that: 8 MiB.
            # Full Chromium has utility processes, which then share less: 26 MiB more.
            args.append("--no-unsandboxed-zygote")
    return [*args, *config.flags]


@functools.lru_cache(maxsize=8)
def plain_user_agent(binary: str) -> str:
    """What `binary` would say with a window: WhatsApp turns ``HeadlessChrome`` away."""
    try:
        said = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
        major = re.search(r"(\d+)\.\d+\.\d+", said)
    except (OSError, subprocess.SubprocessError) as error:
        raise Retryable("browser_failed", "the browser does not tell its version") from error
    if major is None:
        raise Retryable("browser_failed", "the browser does not tell its version")
    return (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{major[1]}.0.0.0 Safari/537.36"
    )


def claim_profile(profile: Path) -> None:
    """Make the profile directory ours alone, and clear the locks of a browser that died.

    Chromium's own lock (``SingletonLock``, a symbolic link to ``<host>-<pid>``) is not asked: the
    headless shell has none, pids are used again, and one from another host says nothing here (who
    holds the account's lease has ended that browser). Raises `Retryable` (``profile_in_use``) when
    a browser on this machine runs on it.
    """
    profile.mkdir(mode=0o700, parents=True, exist_ok=True)
    profile.chmod(0o700)
    argument = f"--user-data-dir={profile}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and argument in command_line(int(entry.name)).split(b"\0"):
            raise Retryable("profile_in_use", "another browser runs on this profile")
    for name in ("SingletonLock", "SingletonSocket", "SingletonCookie"):
        (profile / name).unlink(missing_ok=True)


@dataclass(slots=True)
class Browser:
    """A running browser: its WebDriver session and its processes."""

    web: Remote
    connection: RemoteConnection
    driver: subprocess.Popen[bytes]  # chromedriver, leader of the process group
    pid: int  # the browser's main process
    scratch: Path  # its TMPDIR

    @property
    def group(self) -> int:
        return self.driver.pid

    @property
    def log(self) -> IO[bytes]:
        """What the browser logs, its pages' consoles among it; whoever reads it closes it."""
        assert self.driver.stderr is not None  # noqa: S101  start_group makes it a pipe
        return self.driver.stderr

    def set_timeout(self, seconds: float) -> None:
        """Bound the next WebDriver request, connect and read."""
        self.connection.client_config.timeout = seconds

    def _mains(self) -> list[int]:
        """The browser's main process, and the script around it that some packages have."""
        return [
            pid
            for pid in group_members(self.group)
            if pid != self.driver.pid and b"--type=" not in command_line(pid)
        ]

    def end(self, *, ask: bool) -> bool:
        """End all processes; with `ask` the browser gets a moment to write its profile out."""
        if ask:
            # To the browser alone: its storage process must live until everything is written.
            ask_to_end(self._mains(), group=self.group, deadline=2.0)
        gone = end_group(self.group, grace=0.0)
        # Crash handlers have sessions of their own, and end a little later by themselves. (Without
        # them, `--disable-crashpad-for-testing`, no page loads.)
        for pid in processes_with(f"TMPDIR={self.scratch}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _discard(self.driver, self.scratch)
        return gone


def start_browser(
    config: ChromiumConfig,
    profile: Path,
    *,
    deadline: float,
    began: Callable[[int], None] = lambda _group: None,
) -> Browser:
    """Start chromedriver and a browser, showing nothing yet, within `deadline` seconds.

    `began` hears the process group as soon as there is one; what it raises ends the start. Raises
    `Retryable` (``browser_failed``, ``profile_in_use``); nothing is left running then.
    """
    until = time.monotonic() + deadline
    config = config.with_paths()
    profile = profile.absolute()
    claim_profile(profile)
    scratch = _scratch_directory()
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    # HOME: whatever it writes to a home belongs into the profile.
    env |= {"HOME": str(profile), "TMPDIR": str(scratch), **config.env}
    try:
        driver, port = _start_chromedriver(config, env, until, began)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    try:
        connection = RemoteConnection(
            client_config=ClientConfig(
                remote_server_addr=f"http://127.0.0.1:{port}",
                timeout=max(1, round(until - time.monotonic())),
                # Never ask twice by itself: a request may be a send.
                init_args_for_pool_manager={"init_args_for_pool_manager": {"retries": False}},
            )
        )
        options = ChromeOptions()
        options.binary_location = config.binary
        if config.is_shell:
            # Under its usual name chromedriver waits for a window, which the shell has none of.
            options.set_capability("browserName", "chrome-headless-shell")
        options.page_load_strategy = "none"
        options.add_experimental_option("prefs", PREFERENCES)
        options.timeouts = {"script": 24 * 3600 * 1000}  # ms; `page.call` has its own ends
        for argument in arguments(config, profile):
            options.add_argument(argument)
        web = Remote(command_executor=connection, options=options)
        return Browser(web, connection, driver, int(web.caps["goog:processID"]), scratch)
    except BaseException as error:
        end_group(driver.pid, grace=0)
        _discard(driver, scratch)
        driver.stderr.close()  # type: ignore[union-attr]  # start_group makes it a pipe
        if not isinstance(error, WebDriverException | HTTPError | OSError | KeyError):
            raise
        log.warning("browser_failed", error=type(error).__name__)
        raise Retryable("browser_failed", "the browser does not start") from error


def _scratch_directory() -> Path:
    """A TMPDIR for one browser: Chromium leaves its temporary directories behind.

    It makes a socket in there, whose path may have 107 bytes; with a longer one it hangs.
    """
    usual = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="relance-", dir=usual if len(usual) < 40 else "/tmp"))  # noqa: S108


def _discard(driver: subprocess.Popen[bytes], scratch: Path) -> None:
    """Forget a chromedriver whose group has been ended, and its leftovers, but not its log."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.wait(timeout=5)
    if driver.stdout:
        driver.stdout.close()
    shutil.rmtree(scratch, ignore_errors=True)


def _start_chromedriver(
    config: ChromiumConfig, env: dict[str, str], until: float, began: Callable[[int], None]
) -> tuple[subprocess.Popen[bytes], int]:
    """Start chromedriver on a port of its own choice; picking one for it would race with others.

    It takes a free IPv4 port and then wants the same one on IPv6; where that one is taken it ends
    at once, hence the second and third try.
    """
    for _ in range(3):
        try:
            driver = start_group([config.chromedriver, "--port=0", "--enable-chrome-logs"], env=env)
        except OSError as error:
            raise Retryable("browser_failed", "chromedriver does not start") from error
        try:
            began(driver.pid)
        except BaseException:
            end_group(driver.pid, grace=0)
            driver.communicate()
            raise
        if port := _port_of(driver, until):
            return driver, port
        end_group(driver.pid, grace=0)
        driver.communicate()
        log.warning("chromedriver_failed", status=driver.returncode)
    raise Retryable("browser_failed", "chromedriver does not start")


def _port_of(driver: subprocess.Popen[bytes], until: float) -> int | None:
    """Read the port from what chromedriver says; None when it ends or says nothing in time."""
    said = b""
    while driver.stdout and (left := until - time.monotonic()) > 0:
        if not select.select([driver.stdout], [], [], left)[0]:
            break
        piece = os.read(driver.stdout.fileno(), 4096)
        if not piece:
            break
        said += piece
        if match := re.search(rb"started successfully on port (\d+)", said):
            return int(match[1])
    return None
