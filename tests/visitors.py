"""People in front of a real browser: what they see, on a phone and a screen, in light and dark.

With SCREENSHOTS set to a folder `keep` writes pictures there, to be looked at.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import Client
from selenium import webdriver

from accounts.models import User

AXE = Path(settings.BASE_DIR) / "node_modules/axe-core/axe.min.js"


@contextmanager
def open_chromium(profile: Path, *, scripts: bool = True) -> Iterator[webdriver.Chrome]:
    """A browser of its own; in the language that SCREENSHOT_LANGUAGE names, or in English."""
    options = webdriver.ChromeOptions()
    options.add_argument("--headless=new")
    options.add_argument(f"--user-data-dir={profile}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own condition for root
    options.add_experimental_option(
        "prefs",
        {
            "intl.accept_languages": os.environ.get("SCREENSHOT_LANGUAGE", "en"),
            "profile.managed_default_content_settings.javascript": 1 if scripts else 2,
        },
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # The system's driver where there is one: Selenium Manager would look for updates.
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(60)  # axe-core, on a machine that does other things as well
    try:
        yield driver
    finally:
        driver.quit()


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


class Visitor:
    """Somebody in Chromium; logged in, if `user` is given."""

    def __init__(self, driver: webdriver.Chrome, root: str, user: User | None = None) -> None:
        self.driver, self.root = driver, root
        # A page that asks for nothing by itself: an answer to who was here before could come late.
        driver.get(self.root + "/healthz")
        driver.delete_all_cookies()
        if user is not None:
            cookie = logged_in(user).cookies[settings.SESSION_COOKIE_NAME].value
            driver.add_cookie({"name": settings.SESSION_COOKIE_NAME, "value": cookie})

    def wide(self, width: int, height: int = 900) -> None:
        # Not the window: Chromium refuses narrow ones.
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )

    def dark(self, wanted: bool) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {
                "features": [
                    {"name": "prefers-color-scheme", "value": "dark" if wanted else ""},
                    # Colours on their way from light to dark are neither.
                    {"name": "prefers-reduced-motion", "value": "reduce"},
                ]
            },
        )

    def keep(self, name: str) -> None:
        """The whole page, below the fold as well."""
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            width = self.driver.execute_script("return innerWidth")
            height = self.driver.execute_script("return document.documentElement.scrollHeight")
            self.wide(width, max(height, 640))
            self.driver.save_screenshot(str(Path(folder) / f"{name}.png"))

    def violations(self, inside: Any = "html") -> list[str]:
        """What axe-core calls serious or critical there, as sentences."""
        self.driver.execute_script(AXE.read_text())
        found = self.driver.execute_async_script("axe.run(arguments[0]).then(arguments[1])", inside)
        return [
            f"{one['id']}: {one['help']}: {node['html'][:120]} {node.get('failureSummary', '')}"
            for one in found["violations"]
            if one["impact"] in {"serious", "critical"}
            for node in one["nodes"]
        ]

    def overflows(self) -> bool:
        """Whether the page stays wider than the screen: plots draw themselves anew in a moment."""
        wider = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
        until = time.monotonic() + 5
        while self.driver.execute_script(wider):
            if time.monotonic() > until:
                return True
            time.sleep(0.05)
        return False

    def complaints(self) -> list[str]:
        """What the browser's console says is wrong."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["level"] == "SEVERE"
        ]
