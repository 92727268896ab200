"""What the repository may not hold, and what its lock files must."""

import re
import subprocess

import pytest

from relance_project.local import REPOSITORY
from scripts import check_addresses


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
