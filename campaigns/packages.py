"""A campaign as a ZIP: its sequence as YAML (sequences.py) and the files that go along.

What `pack` writes `unpack` and `sequences.load` read back; a bare YAML file will do, too.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import yaml

from campaigns import texts
from campaigns.models import Campaign
from campaigns.models.content import ONE_DAY
from campaigns.sequences import BadSequence
from whatsapp import media
from whatsapp.models import Media

SEQUENCE = "sequence.yaml"
MOST_FILES = 200
MOST_BYTES = 256 * media.MIB  # of everything in a ZIP, unpacked


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as people would write them."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def pack(campaign: Campaign) -> bytes:
    """The ZIP of `campaign`. Days without a text are left out: a sequence has none."""
    files: dict[str, Media] = {}
    steps = []
    day_before = 1
    for day in texts.read(campaign):
        if not day.texts:
            continue
        step: dict[str, Any] = {"day": day.number}
        if not day.active:
            step["active"] = False
        if day.delay != (day.number - day_before) * ONE_DAY:
            step["hours"] = day.delay.total_seconds() / 3600
        step |= day.texts
        if day.files:
            step["media"] = [
                {"type": file.kind, "language": language, "file": _name(file, files)}
                for language, file in day.files.items()
            ]
        day_before = day.number
        steps.append(step)
    document = {
        "name": campaign.name,
        "default_language": campaign.default_language,
        "steps": steps,
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            SEQUENCE,
            yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100),
        )
        for name, file in files.items():
            with contextlib.suppress(FileNotFoundError):
                archive.writestr(name, media.open_bytes(file))
    return packed.getvalue()


def _name(file: Media, files: dict[str, Media]) -> str:
    """A name for `file` in the ZIP: its own, or with its number where two are called the same."""
    name = file.filename
    if files.get(name, file).pk != file.pk:
        name = f"{file.pk}-{file.filename}"
    files[name] = file
    return name


@contextlib.contextmanager
def unpack(file: BinaryIO, *, name: str) -> Iterator[Path]:
    """The path of the sequence in an uploaded YAML or ZIP, its files beside it, for a while.

    Raises `BadSequence`.
    """
    with tempfile.TemporaryDirectory(prefix="relance-sequence-") as folder:
        directory = Path(folder)
        file.seek(0)
        if zipfile.is_zipfile(file):
            file.seek(0)
            yield _extract(file, directory, name)
            return
        file.seek(0)
        path = directory / (PurePosixPath(name.replace("\\", "/")).name[:100] or SEQUENCE)
        path.write_bytes(file.read(2 * media.MIB))
        yield path


def _extract(file: BinaryIO, directory: Path, name: str) -> Path:
    """Only plain names are written, and no more bytes than a campaign may have."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > MOST_FILES:
                raise BadSequence([f"{name}: more than {MOST_FILES} files"])
            left = MOST_BYTES
            for member in members:
                plain = PurePosixPath(member.filename).name
                if plain != member.filename or plain.startswith("."):
                    raise BadSequence(
                        [f"{name}: “{member.filename[:80]}” lies in a folder: put it beside"]
                    )
                with archive.open(member) as source:
                    # By what comes out, not by what the archive claims.
                    data = source.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise BadSequence([f"{name}: larger than {MOST_BYTES // media.MIB} MiB"])
                (directory / plain).write_bytes(data)
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        RuntimeError,
        EOFError,
        OSError,
    ) as error:
        raise BadSequence([f"{name}: the ZIP cannot be read ({error})"]) from error
    found = sorted(path for path in directory.iterdir() if path.suffix in {".yaml", ".yml"})
    if len(found) != 1:
        raise BadSequence([f"{name}: must hold one .yaml file, not {len(found)}"])
    return found[0]
