"""What this machine has to have: a browser that renders, wa-js, disks to write to, time zones."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import DataError, connection, transaction
from django.db import Error as DatabaseError
from django.utils import timezone
from selenium.common.exceptions import WebDriverException

from accounts.models import Tenant
from whatsapp.doctor.findings import Finding, fail, first_line, megabytes, ok, warning
from whatsapp.driver.base import DriverError
from whatsapp.driver.launch import ChromiumConfig, start_browser

SPACE_DOUBTFUL, SPACE_BROKEN = 2 * 2**30, 200 * 2**20  # bytes
BROWSER_SECONDS = 30.0
PAGE = "data:text/html,<title>loading</title><script>document.title = 6 * 7</script>"


def chromium() -> Iterator[Finding]:
    """Chromium and ChromeDriver are there, of one version, and a page renders in them."""
    config = ChromiumConfig(
        binary=settings.CHROMIUM_BINARY,
        chromedriver=settings.CHROMEDRIVER_BINARY,
        flags=tuple(settings.CHROMIUM_EXTRA_FLAGS),
    )
    if settings.WHATSAPP_DRIVER == "chromium-headless-shell" and not config.binary:
        config = ChromiumConfig(
            binary=shutil.which("chromium-headless-shell") or "",
            chromedriver=config.chromedriver,
            flags=config.flags,
        )
    try:
        config = config.with_paths()
    except DriverError as error:
        yield fail(
            first_line(error),
            "install chromium and chromium-driver (`make install` does), or name them in "
            "CHROMIUM_BINARY and CHROMEDRIVER_BINARY",
        )
        return
    browser, driver = _version(config.binary), _version(config.chromedriver)
    if not browser or not driver:
        missing = config.chromedriver if browser else config.binary
        yield fail(
            f"{missing} does not tell its version",
            "install chromium and chromium-driver anew, or correct CHROMIUM_BINARY and "
            "CHROMEDRIVER_BINARY",
        )
        return
    if browser.split(".")[0] != driver.split(".")[0]:
        yield fail(
            f"Chromium is {browser}, ChromeDriver {driver}: they must be of one version",
            "install both from one source",
        )
    else:
        yield ok(f"Chromium {browser} and its ChromeDriver")
    yield _rendered(config)


def _version(program: str) -> str:
    try:
        said = subprocess.run(
            [program, "--version"], check=False, capture_output=True, text=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\d+(\.\d+){3}", said)
    return found[0] if found else ""


def _rendered(config: ChromiumConfig) -> Finding:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="relance-doctor-") as directory:
        try:
            browser = start_browser(config, Path(directory) / "p", deadline=BROWSER_SECONDS)
            try:
                browser.web.get(PAGE)
                while (title := browser.web.title) != "42":
                    if time.monotonic() - began > BROWSER_SECONDS:
                        return fail(f"its page stays at {title!r}", _MEND_BROWSER)
                    time.sleep(0.05)
            finally:
                browser.end(ask=False)
        except (DriverError, WebDriverException) as error:
            return fail(f"a browser does not start here: {first_line(error)}", _MEND_BROWSER)
    return ok(f"a browser starts and renders a page in {time.monotonic() - began:.1f} s")


_MEND_BROWSER = (
    "run it by hand (chromium --headless=new --dump-dom about:blank) and read what it says; in "
    "containers look at /dev/shm, the seccomp profile and user namespaces (docs/how-to/deploy.md)"
)


def wa_js() -> Iterator[Finding]:
    """wa-js is there, in the version that this Relance was tested with."""
    path: Path = settings.WA_JS_PATH
    if not path.is_file():
        yield fail(f"there is no {path}", "run `make install` (npm ci), or correct WA_JS_PATH")
        return
    wanted = json.loads((settings.BASE_DIR / "package.json").read_text())["dependencies"]
    tested = wanted["@wppconnect/wa-js"]
    try:
        found = json.loads((path.parent.parent / "package.json").read_text())["version"]
    except (OSError, ValueError, KeyError):
        yield warning(
            f"{path} does not say which version it is",
            f"Relance was tested with {tested}: see that it is that one",
        )
        return
    if found != tested:
        yield warning(
            f"wa-js is {found}; this Relance was tested with {tested}",
            "run npm ci, or test the newer one first",
        )
    else:
        yield ok(f"wa-js {found}, as tested")


def storage() -> Iterator[Finding]:
    """The places for media, saved profiles and live profiles can be written to and have space."""
    try:
        name = storages["profiles"].save("doctor", ContentFile(b"doctor"))
        with storages["profiles"].open(name) as file:
            whole = file.read() == b"doctor"
        storages["profiles"].delete(name)
    except OSError as error:
        yield _unwritable("saved profiles", "PROFILE_ARCHIVE_PATH", error)
    else:
        if whole:
            yield from _space("saved profiles", settings.PROFILE_ARCHIVE_PATH)
        else:
            yield fail("saved profiles come back damaged", "look at the disk, or is it full?")
    for what, setting, path in (
        ("media", "MEDIA_ROOT", settings.MEDIA_ROOT),
        ("live profiles", "WHATSAPP_SESSION_PATH", settings.WHATSAPP_SESSION_PATH),
    ):
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=path, prefix="doctor-") as file:
                file.write(b"doctor")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            yield _unwritable(what, setting, error)
        else:
            yield from _space(what, path)


def _unwritable(what: str, setting: str, error: OSError) -> Finding:
    return fail(
        f"{what} cannot be written: {error.strerror or error} ({error.filename})",
        f"make the directory writable for this user, free its disk, or set {setting}",
    )


def _space(what: str, path: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(path).free
    said = f"{what} in {path}: {megabytes(free)} free"
    if free < SPACE_BROKEN:
        yield fail(said, "free the disk: profiles are not saved on a full one")
    elif free < SPACE_DOUBTFUL:
        yield warning(said, "free the disk before it is full")
    else:
        yield ok(said)


def time_zones() -> Iterator[Finding]:
    """Zone data is there, and every tenant's zone in it."""
    try:
        zoneinfo.ZoneInfo("Europe/Paris")
    except zoneinfo.ZoneInfoNotFoundError:
        yield fail("there is no time zone data", "install the package tzdata")
        return
    try:
        zones = dict(Tenant.objects.values_list("slug", "timezone"))
    except DatabaseError:
        yield warning("the tenants' zones could not be asked for", "mend the database first")
        return
    known = zoneinfo.available_timezones()
    alike = {zone: _is_read_alike(zone) for zone in set(zones.values()) & known}
    for slug, zone in zones.items():
        if zone not in known:
            yield fail(
                f"tenant {slug} has the time zone {zone!r}, which is not known here",
                "correct it in the admin, or update tzdata",
            )
        elif not alike[zone]:
            yield fail(
                f"PostgreSQL reads the time zone {zone!r} of tenant {slug} in another way: its "
                "accounts send nothing while it is another day there than here",
                "update the time zone data of both machines; of an abbreviation, name a place",
            )
    if all(alike.get(zone) for zone in zones.values()):
        yield ok(f"time zone data is there, for all {len(zones)} tenants")


def _is_read_alike(zone: str) -> bool:
    """Whether clocks show the same by PostgreSQL's zone data and by ours, each day for a year."""
    now = timezone.now()
    moments = [now + dt.timedelta(days=n) for n in range(366)]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT at AT TIME ZONE %s FROM unnest(%s) AS at", [zone, moments])
            theirs = [wall for (wall,) in cursor.fetchall()]
    except DataError:  # PostgreSQL knows no such zone
        return False
    ours = zoneinfo.ZoneInfo(zone)
    return theirs == [moment.astimezone(ours).replace(tzinfo=None) for moment in moments]
