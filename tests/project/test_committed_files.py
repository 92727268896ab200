"""What the repository may not hold, and what its lock files must."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from relance_project.local import REPOSITORY
from scripts import check_addresses, check_links


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Makefile", "pip install --index" + "-url x y"),
        ("Dockerfile", "ENV PIP_INDEX" + "_URL=there"),
        (".npmrc", "registry" + " = there"),
        ("docs/a.md", "http" + "://me:secret@host/x"),
        ("package-lock.json", '"resolved"' + ': "x"'),
        ("requirements/base.txt", "# from file" + ":///wheels"),
        ("requirements/base.txt", "django==5.2.1\n"),
        ("requirements/base.txt", "django==5.2.1 ; python_version < '3.13'\n"),
    ],
)
def test_it_finds_where_packages_come_from(name: str, text: str) -> None:
    assert len(check_addresses.problems(name, text)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements/base.txt", "django==5.2.1 \\\n    --hash=sha256:00\n"),
        ("package-lock.json", '"url": "https://github.com/sponsors/x"'),
        ("compose.yaml", "postgresql://relance:${POSTGRES_PASSWORD}@postgres/relance"),
    ],
)
def test_it_lets_ordinary_lines_pass(name: str, text: str) -> None:
    assert check_addresses.problems(name, text) == []


def test_every_package_is_locked_for_every_python_we_support() -> None:
    locked = (REPOSITORY / "requirements/dev.txt").read_text()
    # pip takes one version of a package; two would be a fork that some Python does not see.
    names = re.findall(r"^([\w.-]+)==", locked, re.M)
    assert len(names) == len(set(names))
    base = re.findall(r"^[\w.-]+==\S+", (REPOSITORY / "requirements/base.txt").read_text(), re.M)
    assert set(base) <= set(re.findall(r"^[\w.-]+==\S+", locked, re.M))


def test_no_secret_file_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], check=True, cwd=REPOSITORY, capture_output=True, text=True
    ).stdout.split()
    assert not [name for name in listed if re.search(r"(^|/)\.env($|\.(?!example))", name)]


def test_the_example_environment_holds_no_values() -> None:
    for line in (REPOSITORY / ".env.example").read_text().splitlines():
        assert line.startswith("#") or not line or line.endswith("=")


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Writes files and says which of their links are dead."""
    monkeypatch.setattr(check_links, "REPOSITORY", tmp_path)
    check_links.tokens.cache_clear()
    check_links.anchors.cache_clear()

    def check(**texts: str) -> list[str]:
        paths = {tmp_path / f"{name}.md": text for name, text in texts.items()}
        for path, text in paths.items():
            path.write_text(text)
        files = set(paths) | {tmp_path}
        return [dead for path in paths for dead in check_links.dead_links(path, files)]

    return check


@pytest.mark.parametrize(
    "link",
    [
        "[b](b.md)",
        "[b](b.md#the-way-of-one-message)",
        "[b](b.md#what-ls-does)",
        "[b](b.md#again-1)",
        "[here](#here)",
        "[there](https://example.org/none)",
        "`[code](nowhere.md)`",
        "[dir](.)",
    ],
)
def test_it_follows_links_that_lead_somewhere(pages: Callable[..., list[str]], link: str) -> None:
    headings = "# The way of one message\n## What `ls` does?\n## Again\n## Again\n"
    assert pages(a=f"# Here\n\n{link}\n", b=headings) == []


@pytest.mark.parametrize(
    "link",
    [
        "[b](c.md)",
        "![b](c.png)",
        "[b](b.md#no-such)",
        "[b][c]\n\n[c]: ../outside.md",
        "| x |\n|---|\n| [b](c.md) |",
    ],
)
def test_it_finds_links_that_lead_nowhere(pages: Callable[..., list[str]], link: str) -> None:
    [dead] = pages(a=f"# Here\n\n{link}\n", b="# B\n")
    assert dead.startswith("a.md:")
