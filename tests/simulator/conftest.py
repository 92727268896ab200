"""A simulator in a process of its own, and browsers on it. One browser for each story: starting one
takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.simulator.wa_js_page import WaJsPage
from whatsapp.simulator.client import SimulatorControl
from whatsapp.simulator.process import SimulatorProcess

ME = "33639980001"

OpenPage = Callable[..., WaJsPage]
LogIn = Callable[..., WaJsPage]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as running:
        yield running


@pytest.fixture
def control(simulator: SimulatorProcess) -> SimulatorControl:
    simulator.control.reset()
    return simulator.control


@pytest.fixture
def open_page(
    simulator: SimulatorProcess, control: SimulatorControl, tmp_path: Path
) -> Iterator[OpenPage]:
    """Opens a browser; the same `profile` name is the same profile."""
    pages: list[WaJsPage] = []

    def opening(profile: str = "profile", **options: object) -> WaJsPage:
        page = WaJsPage(simulator.url, tmp_path / profile, **options)  # type: ignore[arg-type]
        pages.append(page)
        return page

    yield opening
    for page in pages:
        page.quit()


@pytest.fixture
def log_in(open_page: OpenPage, control: SimulatorControl) -> LogIn:
    """Opens a browser and scans its code as `ME`; `scan` options go to the phone."""

    def logging_in(**scan: object) -> WaJsPage:
        page = open_page()
        control.scan(ME, ref=page.wait_for_code(), name="Camille", **scan)  # type: ignore[arg-type]
        page.wait_for_main()
        return page

    return logging_in
