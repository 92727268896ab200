"""What people read, in their language: gathered from the sources, checked, compiled, all without
gettext's programs. English stands in the sources, the others in `locale/`.

    python -m scripts.translations           take new texts in, compile the .mo files
    python -m scripts.translations --check   say what is missing or wrong; `make lint` runs this

Besides what is marked in Python and templates there are the names of models and fields
(relance_project/labels.py), and those texts of django-unfold that Django does not translate.
"""

from __future__ import annotations

import gettext
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

REPOSITORY = Path(__file__).resolve().parent.parent
LOCALE = REPOSITORY / "locale"
OURS = ("accounts", "campaigns", "relance_project", "templates", "whatsapp")
CALLS = ("_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy")
# French sets a space before these signs, which must not break the line.
FRENCH_BREAKING = re.compile(r"\S (?:[:;!?»]|%%)|« ")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
NAMED = re.compile(r"%\((\w+)\)")


def po(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "django.po"


def texts(language: str) -> Iterator[str | tuple[str, str]]:
    """Every text to translate; singular and plural as a pair."""
    for name in OURS:
        for path in sorted((REPOSITORY / name).rglob("*")):
            if path.suffix in {".py", ".html"} and "migrations" not in path.parts:
                yield from _marked(path)
    yield from _foreign(language)


def _marked(path: Path) -> Iterator[str | tuple[str, str]]:
    from django.utils.translation import template

    source = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        # Django turns a template into calls; what is left of it must not look indented.
        source = "\n".join(map(str.lstrip, template.templatize(source).splitlines()))
    # Typed as lists of texts, and gives a text, several, or none: `_(name)` has none.
    found: Any = extract_python(
        io.BytesIO(source.encode()), dict.fromkeys(CALLS), [], {"encoding": "utf-8"}
    )
    for _line, call, message, _comments in found:
        parts = [message] if isinstance(message, str) else [part for part in message or () if part]
        if parts and call.startswith("ngettext"):
            yield parts[0], parts[1]
        elif parts:
            yield parts[0]


def _foreign(language: str) -> Iterator[str | tuple[str, str]]:
    """Names of models and fields, and django-unfold's texts, where nobody translates them."""
    from django.apps import apps

    from relance_project import labels

    known = _known(language)
    found: list[str | tuple[str, str]] = list(labels.names())
    for app in [app for app in apps.get_app_configs() if app.name.split(".")[0] == "unfold"]:
        for path in sorted(Path(app.path).rglob("*")):
            if path.suffix in {".py", ".html"} and ("contrib" in path.parts) == (
                app.name != "unfold"
            ):
                found += _marked(path)
    for text in found:
        if (text if isinstance(text, str) else text[0]) not in known:
            yield text


def _known(language: str) -> set[str]:
    """What Django and the apps that we install translate by themselves."""
    import django
    from django.apps import apps

    folders = [Path(django.__file__).parent / "conf"]
    folders += [Path(app.path) for app in apps.get_app_configs()]
    found: set[str] = set()
    for folder in folders:
        if (folder / "locale" / language).exists():
            catalog = gettext.translation("django", folder / "locale", [language])
            entries = catalog._catalog  # type: ignore[attr-defined]
            found |= {key if isinstance(key, str) else key[0] for key in entries}
    return found


def gathered(language: str) -> dict[str, str | tuple[str, str]]:
    """Texts by their id; one that is said with and without a plural has one entry, the plural."""
    found: dict[str, str | tuple[str, str]] = {}
    for text in texts(language):
        key = text if isinstance(text, str) else text[0]
        if key and not isinstance(found.get(key), tuple):
            found[key] = text
    return found


def update(language: str) -> None:
    """Take new texts in, put old ones out, compile. Nothing is guessed: new texts stay empty."""
    # A fixed date: two people who add a text each change two lines, not the header.
    new = Catalog(locale=language, project="Relance", creation_date=EPOCH, revision_date=EPOCH)
    new.fuzzy = False
    old = read(language)
    for key, text in gathered(language).items():
        before = old.get(key)
        string = before.string if before is not None and _same_kind(before.id, text) else None
        new.add(text, string or ("" if isinstance(text, str) else ("", "")))
    target = po(language)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        write_po(file, new, no_location=True, sort_output=True, width=96)
    target.with_suffix(".mo").write_bytes(_compiled(new))


def _compiled(catalog: Catalog) -> bytes:
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def _same_kind(one: object, other: object) -> bool:
    return isinstance(one, str) == isinstance(other, str)


def read(language: str) -> Catalog:
    if not po(language).exists():
        return Catalog(locale=language)
    with po(language).open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def problems(language: str) -> list[str]:
    """What is missing or wrong, a line each."""
    catalog, wanted = read(language), gathered(language)
    have = {_key(message.id): message for message in catalog if message.id}
    found = [f"not in the .po file: {key!r}" for key in wanted if key not in have]
    found += [f"no longer used: {key!r}" for key in have if key not in wanted]
    for key, message in have.items():
        found += [f"{what}: {key!r}" for what in wrong_with(message, catalog)]
    compiled = po(language).with_suffix(".mo")
    if not compiled.exists() or compiled.read_bytes() != _compiled(catalog):
        found.append("django.mo is not what django.po says")
    return found


def wrong_with(message: Message, catalog: Catalog) -> Iterator[str]:
    """What is wrong with one translation."""
    strings = [message.string] if isinstance(message.string, str) else list(message.string or [])
    if not all(strings) or not strings:
        yield "not translated"
        return
    if message.fuzzy:
        yield "fuzzy"
    for error in message.check(catalog):
        yield str(error)
    ids = [message.id] if isinstance(message.id, str) else list(message.id)
    # The singular may leave the number out, as in “one message”; nothing may invent a name.
    wanted = set(NAMED.findall(ids[-1]))
    if set(NAMED.findall(strings[-1])) != wanted or set(NAMED.findall(strings[0])) - wanted:
        yield "other placeholders"
    for string in strings:
        if catalog.locale_identifier == "fr" and (breaking := FRENCH_BREAKING.search(string)):
            yield f"a space that may break in “{breaking[0]}”"


def _key(message_id: str | Sequence[str]) -> str:
    return message_id if isinstance(message_id, str) else message_id[0]


def main() -> int:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relance_project.settings")
    sys.path.insert(0, str(REPOSITORY))
    django.setup()
    from django.conf import settings

    count = 0
    for language in [code for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]:
        if "--check" not in sys.argv:
            update(language)
        for line in problems(language):
            print(f"{po(language).relative_to(REPOSITORY)}: {line}")
            count += 1
    if count:
        print(f"{count} in all: python -m scripts.translations takes texts in and compiles them")
    return bool(count)


if __name__ == "__main__":
    sys.exit(main())
