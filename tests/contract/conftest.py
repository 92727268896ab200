"""The drivers under contract, each with a session that tests may share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.chromium_rig import ChromiumRig
from tests.contract.memory_rig import MemoryRig
from tests.contract.rig import Rig, Session, link
from whatsapp.driver import base
from whatsapp.driver.base import PageState


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromiumRig]:
    """Chromium on one simulator for the whole run."""
    with ChromiumRig.running(tmp_path_factory.mktemp("chromium")) as rig:
        yield rig


@pytest.fixture(
    scope="session", params=["memory", pytest.param("chromium", marks=pytest.mark.browser)]
)
def rig(request: pytest.FixtureRequest) -> Rig:
    if request.param == "memory":
        return MemoryRig()
    rig: ChromiumRig = request.getfixturevalue("chromium")
    return rig


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return tmp_path / "profile"


class Shared:
    """One linked session of a rig, made again when a test has used it up."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self._rig = rig
        self._folder = folder
        self._session: Session | None = None
        self._links = 0

    @property
    def profile(self) -> Path:
        return self._folder / f"shared-{self._links}"

    def session(self) -> Session:
        if self._session is None or not self._usable(self._session):
            self.close()
            self._links += 1
            self._session = link(self._rig, self.profile)
        return self._session

    def _usable(self, session: Session) -> bool:
        try:
            return session.driver.status() is PageState.CONNECTED
        except base.DriverError:
            return False

    def close(self) -> None:
        if self._session is not None:
            self._session.driver.close()


@pytest.fixture(scope="session")
def shared(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    shared = Shared(rig, tmp_path_factory.mktemp(rig.name))
    yield shared
    shared.close()


@pytest.fixture
def linked(shared: Shared) -> Session:
    """A connected session that other tests use too: use phones of your own."""
    return shared.session()


@pytest.fixture
def linked_profile(shared: Shared, linked: Session) -> Path:
    return shared.profile


@pytest.fixture
def own(chromium: ChromiumRig, profile: Path):
    """A linked session for tests that break it."""
    session = link(chromium, profile)
    yield session
    session.driver.close()


@pytest.fixture
def steady(chromium: ChromiumRig, tmp_path_factory, request):
    """A linked session for tests that leave it as it was, made once."""
    cache = request.session.__dict__.setdefault("_steady_session", {})
    if "session" not in cache:
        cache["session"] = link(chromium, tmp_path_factory.mktemp("steady") / "profile")
        request.session.addfinalizer(cache["session"].driver.close)
    return cache["session"]
