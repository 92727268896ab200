"""Finds dead links in the documentation, without a network.

Every link and image of every committed Markdown file must lead to a committed file or directory,
and to a heading there if it names one; so must each docs/….md that code and settings mention.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).resolve().parent.parent
MENTION = re.compile(rb"docs/[\w./-]+\.(?:md|png)")
MENTIONING = {".py", ".yaml", ".yml", ".toml", ".html", ".ts", ".js", ".json"}


def committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    ).stdout
    return [REPOSITORY / name for name in listed.decode().split("\0") if name]


@cache
def tokens(page: Path) -> list[Token]:
    return MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text())


def links(page: Path) -> Iterator[tuple[int, str]]:
    """(line, address) of every link and image."""
    for block in tokens(page):
        for token in block.children or []:
            address = token.attrs.get("href") or token.attrs.get("src")
            if address:
                yield (block.map or [0])[0] + 1, str(address)


@cache
def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as code hosts make them."""
    found, seen = set(), Counter[str]()
    parsed = tokens(page)
    for heading, inline in pairwise(parsed):
        if heading.type == "heading_open":
            text = "".join(child.content for child in inline.children or [])
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
    return found


def dead(page: Path, address: str, files: set[Path]) -> str:
    """Why the address leads nowhere; empty when it does not, or is another host's."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return ""
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target not in files:
        return "there is no such file"
    if parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(target):
        return f"it has no heading {parts.fragment!r}"
    return ""


def dead_links(page: Path, files: set[Path]) -> Iterator[str]:
    for line, address in links(page):
        if why := dead(page, address, files):
            yield f"{page.relative_to(REPOSITORY)}:{line}: {address}: {why}"


def dead_mentions(path: Path, files: set[Path]) -> Iterator[str]:
    for mention in sorted(set(MENTION.findall(path.read_bytes()))):
        if REPOSITORY / mention.decode() not in files:
            yield f"{path.relative_to(REPOSITORY)}: {mention.decode()}: there is no such file"


def main() -> int:
    pages = {path for path in committed() if path.exists()}
    files = pages | {parent for path in pages for parent in path.parents}
    found: list[str] = []
    for path in sorted(pages):
        if path.suffix == ".md":
            found.extend(dead_links(path, files))
        # Tests name pages that are not there on purpose.
        elif path.suffix in MENTIONING and not path.is_relative_to(REPOSITORY / "tests"):
            found.extend(dead_mentions(path, files))
    print("\n".join(found) or "no dead links")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
