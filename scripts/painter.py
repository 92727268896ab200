"""Somebody in front of a browser who keeps pictures of what they see, for docs/screenshots/."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from accounts.models import User
from demo.scenario import Refused
from tests.visitors import Visitor

PICTURES = Path(__file__).resolve().parent.parent / "docs/screenshots"
LARGEST = 150 * 1024  # bytes
PATIENCE = 180.0  # seconds
# Below Unfold's own bar, which stays where it is.
SHOW = "arguments[0].scrollIntoView({block: arguments[1]}); scrollBy(0, arguments[2])"


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`. Raises `Refused` when there is none."""
    until = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > until:
            raise Refused(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.1)
    return found


class Painter:
    """One browser; who looks, in which language and how wide, is said by `enter`."""

    def __init__(self, driver: Chrome, root: str) -> None:
        self.driver, self.root = driver, root
        self.visitor = Visitor(driver, root)
        driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})

    def enter(self, user: User, *, language: str = "en", width: int = 1280) -> None:
        Visitor(self.driver, self.root, user)
        self.driver.add_cookie({"name": settings.LANGUAGE_COOKIE_NAME, "value": language})
        self.width = width
        self.visitor.wide(width)

    def open(self, path: str, words: str) -> None:
        """Go to `path` and wait until `words` are to be read."""
        self.driver.get(self.root + path)
        self.reads(words)

    def reads(self, words: str) -> None:
        def there() -> bool:
            return words in self.driver.execute_script("return document.body.innerText")

        eventually(there, f"“{words}” on {self.driver.current_url}")

    def sees(self, css: str) -> None:
        eventually(
            lambda: self.driver.find_elements(By.CSS_SELECTOR, css),
            f"“{css}” on {self.driver.current_url}",
        )

    def press(self, css: str) -> None:
        element = self.driver.find_element(By.CSS_SELECTOR, css)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def write(self, css: str, text: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, css).send_keys(text)

    def keep(self, name: str, *, height: int = 860, top: str = "") -> None:
        """The page from its top, or from the element `top` down, `height` pixels at most, in as
        few colours as it takes."""
        self.visitor.wide(self.width, height)
        if top:
            element = self.driver.find_element(By.CSS_SELECTOR, top)
            self.driver.execute_script(SHOW, element, "start", -80)
        path = PICTURES / f"{name}.png"
        self.driver.save_screenshot(str(path))
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(256, kmeans=1, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
        if path.stat().st_size > LARGEST:
            raise Refused(f"{path} has {path.stat().st_size} bytes: make it less high")
