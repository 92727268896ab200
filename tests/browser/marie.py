"""Somebody of marketing in front of the admin: what they do there, and what they see."""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import PASSWORD, eventually
from tests.visitors import Visitor

OURS = (".sheet", ".console")  # parts of pages that come from our templates


class Marie(Visitor):
    """Somebody of marketing in front of the admin."""

    def log_in(self) -> None:
        self.open("/admin/")
        name = self.driver.find_element(By.NAME, "username")
        name.send_keys("marie", Keys.TAB, PASSWORD, Keys.ENTER)
        self.sees("What waits for you")

    def open(self, path: str) -> None:
        self.driver.get(self.root + path)

    def press(self, selector: str) -> None:
        element = self.driver.find_element(By.CSS_SELECTOR, selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def write(self, name: str, text: str) -> None:
        """As a paste does: ChromeDriver cannot type an emoji."""
        self.driver.execute_script(
            "arguments[0].focus(); document.execCommand('selectAll');"
            "document.execCommand('insertText', false, arguments[1]);",
            self.driver.find_element(By.NAME, name),
            text,
        )

    def choose(self, name: str, path: Path) -> None:
        self.driver.find_element(By.NAME, name).send_keys(str(path))

    def reads(self, text: str, selector: str = "body") -> bool:
        # In one call: the part may be exchanged at any moment.
        return text in self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText).join('\\n')",
            selector,
        )

    def sees(self, text: str, selector: str = "body") -> None:
        eventually(lambda: self.reads(text, selector), 30, what=f"“{text}” in {selector}")

    def dark(self, wanted: bool) -> None:
        """By Unfold's own switch: the page stays as it is."""
        self.driver.execute_script(
            "document.documentElement.classList.toggle('dark', arguments[0])", wanted
        )

    def may_use(self, screen: str) -> None:
        """axe-core finds nothing serious, nor in the dark in what is ours; it fits a phone, too."""
        self.keep(f"marketing-{screen}")
        found = self.violations()
        assert found == [], f"{screen}: {found}"
        self.dark(True)
        for part in OURS:  # Unfold's own links in the dark are 4.3:1, which is theirs to mend
            if self.driver.find_elements(By.CSS_SELECTOR, part):
                found = self.violations(part)
                assert found == [], f"{screen} in the dark: {found}"
        self.dark(False)
        self.wide(360)
        assert not self.overflows(), f"{screen} is wider than a phone"
        self.wide(1280)
