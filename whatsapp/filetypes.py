"""What a file is, from its bytes alone: names and content types are claims of whoever sent it.

`recognise` allows what WhatsApp carries and refuses everything else, files that are two things at
once (a picture that is also a page or an archive), and pictures or archives that unpack into far
more than they weigh.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

# A picture of this many pixels takes 200 MB once decoded; phones make 12 to 50 million.
MAX_PIXELS = 50_000_000
MAX_UNPACKED = 512 * 1024 * 1024  # bytes of all entries of an office document
MAX_ENTRIES = 10_000
MAX_RATIO = 200  # unpacked to packed; office documents reach about 40

ALLOWED = "send JPEG, PNG, WebP, MP4, 3GP, MP3, OGG, AAC, M4A, PDF, DOCX, XLSX, PPTX or TXT"


class BadMedia(ValueError):
    """A file that cannot be sent.

    `code` is one of empty, too_large, not_allowed, damaged, mixed, bomb, wrong_kind; the message
    is written for the person who chose the file and fits beside a form field.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class FileType:
    """`kind` is image, video, audio or document; `label` names the type in a sentence."""

    kind: str
    mime: str
    extension: str
    label: str


JPEG = FileType("image", "image/jpeg", ".jpg", "JPEG picture")
PNG = FileType("image", "image/png", ".png", "PNG picture")
WEBP = FileType("image", "image/webp", ".webp", "WebP picture")
MP4 = FileType("video", "video/mp4", ".mp4", "MP4 video")
THREE_GP = FileType("video", "video/3gpp", ".3gp", "3GP video")
MP3 = FileType("audio", "audio/mpeg", ".mp3", "MP3 recording")
OGG = FileType("audio", "audio/ogg", ".ogg", "OGG recording")
AAC = FileType("audio", "audio/aac", ".aac", "AAC recording")
M4A = FileType("audio", "audio/mp4", ".m4a", "M4A recording")
PDF = FileType("document", "application/pdf", ".pdf", "PDF document")
TXT = FileType("document", "text/plain", ".txt", "text file")
OFFICE = "application/vnd.openxmlformats-officedocument."
DOCX = FileType("document", OFFICE + "wordprocessingml.document", ".docx", "Word document")
XLSX = FileType("document", OFFICE + "spreadsheetml.sheet", ".xlsx", "Excel document")
PPTX = FileType("document", OFFICE + "presentationml.presentation", ".pptx", "PowerPoint document")

PICTURES = {"JPEG": JPEG, "PNG": PNG, "WEBP": WEBP}
OFFICE_PARTS = {
    "word/document.xml": DOCX,
    "xl/workbook.xml": XLSX,
    "ppt/presentation.xml": PPTX,
}

# Types people really try, named so that the refusal tells them what they have.
KNOWN_BUT_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"GIF87a", "a GIF"),
    (b"GIF89a", "a GIF"),
    (b"BM", "a BMP picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Office document (.doc, .xls, .ppt)"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska video"),
    (b"fLaC", "a FLAC recording"),
    (b"{\\rtf", "an RTF document"),
)
REFUSED_BRANDS = (
    {b"qt  ": "a QuickTime video (.mov)"}
    | dict.fromkeys((b"heic", b"heix", b"heif", b"hevc", b"mif1", b"msf1"), "a HEIC picture")
    | dict.fromkeys((b"avif", b"avis"), "an AVIF picture")
)

MARKUP_START = re.compile(rb"\s*<(?:[!?a-zA-Z/])")
MARKUP = re.compile(rb"(?i)<(?:script|html|!doctype|\?php|iframe|svg[\s/>])")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def recognise(data: bytes) -> FileType:
    """The type of a whole file. Raises `BadMedia`."""
    if not data:
        raise BadMedia("empty", "the file is empty")
    found = (
        _picture(data)
        or _iso_media(data)
        or _pdf(data)
        or _office(data)
        or _sound(data)
        or _text(data)
    )
    if found is None:
        raise BadMedia("not_allowed", f"the file is {_name_of(data)}: {ALLOWED}")
    _refuse_second_nature(data, found)
    return found


def _name_of(data: bytes) -> str:
    for start, name in KNOWN_BUT_REFUSED:
        if data.startswith(start):
            return name
    return "of a type that WhatsApp does not carry"


# ------------------------------------------------------------------------------- pictures


def _picture(data: bytes) -> FileType | None:
    if data.startswith(b"\xff\xd8\xff"):
        name = "JPEG"
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        name = "PNG"
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        name = "WEBP"
    else:
        return None
    with warnings.catch_warnings():
        # Pillow's own limit is a warning; ours is checked below, before a pixel is decoded.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data), formats=[name]) as picture:
                width, height = picture.size
                if width * height * getattr(picture, "n_frames", 1) > MAX_PIXELS:
                    raise BadMedia(
                        "bomb",
                        f"the picture has {width} x {height} pixels: at most "
                        f"{MAX_PIXELS // 1_000_000} million are allowed",
                    )
                if name == "PNG":
                    picture.verify()  # reads every chunk to the end; decodes nothing
                else:
                    picture.draft(None, (1, 1))  # JPEG: decoded at an eighth of its size
                    picture.load()
        except Image.DecompressionBombError as error:
            raise BadMedia(
                "bomb", f"the picture has more than {MAX_PIXELS // 1_000_000} million pixels"
            ) from error
        except (
            UnidentifiedImageError,
            OSError,
            SyntaxError,
            ValueError,
            struct.error,
            EOFError,
        ) as error:
            if isinstance(error, BadMedia):
                raise
            raise BadMedia("damaged", f"the {PICTURES[name].label} is damaged") from error
    return PICTURES[name]


# ---------------------------------------------------------------------- video and recordings


def _iso_media(data: bytes) -> FileType | None:
    """MP4, 3GP and M4A: boxes of 4 bytes size, 4 bytes name; `ftyp` first, `moov` somewhere."""
    if data[4:8] != b"ftyp":
        return None
    brand = data[8:12]
    if brand in REFUSED_BRANDS:
        raise BadMedia("not_allowed", f"the file is {REFUSED_BRANDS[brand]}: {ALLOWED}")
    if brand.startswith((b"3gp", b"3g2")):
        found = THREE_GP
    elif brand in (b"M4A ", b"M4B "):
        found = M4A
    else:
        found = MP4
    if b"moov" not in _boxes(data):
        raise BadMedia("damaged", f"the {found.label} is damaged or not complete")
    return found


def _boxes(data: bytes) -> set[bytes]:
    """Names of the boxes at the top level, as far as their sizes make sense."""
    names: set[bytes] = set()
    at = 0
    while at + 8 <= len(data) and len(names) < 64:
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, at + 8)
        elif size == 0:
            size = len(data) - at
        if size < 8 or at + size > len(data):
            break
        names.add(name)
        at += size
    return names


def _sound(data: bytes) -> FileType | None:
    if data.startswith(b"OggS"):
        return OGG
    if data.startswith(b"ID3"):
        return MP3
    if len(data) > 4 and data[0] == 0xFF:
        # A frame of MPEG audio begins with 11 set bits; then version, layer (01: III), protection.
        # ADTS (AAC) has 12 set bits and layer 00.
        if data[1] & 0xF6 == 0xF0:
            return AAC
        if data[1] & 0xE6 == 0xE2 and data[2] >> 4 not in (0, 15):
            return MP3
    return None


# ------------------------------------------------------------------------------ documents


def _pdf(data: bytes) -> FileType | None:
    if not data.startswith(b"%PDF-"):
        return None
    if b"%%EOF" not in data[-2048:]:
        raise BadMedia("damaged", "the PDF document is damaged or not complete")
    return PDF


def _office(data: bytes) -> FileType | None:
    if not data.startswith(b"PK\x03\x04"):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
        raise BadMedia("damaged", "the document is damaged or not complete") from error
    names = {entry.filename for entry in entries}
    found = next((OFFICE_PARTS[name] for name in OFFICE_PARTS if name in names), None)
    if found is None or "[Content_Types].xml" not in names:
        raise BadMedia("not_allowed", f"the file is a ZIP archive: {ALLOWED}")
    if any(name.endswith("vbaProject.bin") for name in names):
        raise BadMedia("not_allowed", "the document contains macros: save it without them")
    unpacked = sum(entry.file_size for entry in entries)
    if (
        len(entries) > MAX_ENTRIES
        or unpacked > MAX_UNPACKED
        or unpacked > MAX_RATIO * max(len(data), 10_000)
    ):
        raise BadMedia("bomb", "the document unpacks into far more than it weighs")
    return found


def _text(data: bytes) -> FileType | None:
    for start, _name in KNOWN_BUT_REFUSED:
        if data.startswith(start):
            return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    if CONTROL.search(text):
        return None
    body = data.removeprefix(b"\xef\xbb\xbf")
    if MARKUP_START.match(body) or MARKUP.search(body):
        name = "an SVG drawing" if re.search(rb"(?i)<svg[\s/>]", body) else "an HTML or XML page"
        raise BadMedia("not_allowed", f"the file is {name}: {ALLOWED}")
    return TXT


# ------------------------------------------------------------------------- two things at once


def _refuse_second_nature(data: bytes, found: FileType) -> None:
    """A file that another program reads as something else: a picture that is also an archive."""
    if found in OFFICE_PARTS.values():
        return
    second = ""
    if zipfile.is_zipfile(io.BytesIO(data)):
        second = "a ZIP archive"
    elif found is not PDF and b"%PDF-" in data[:1024]:
        second = "a PDF document"
    elif found.kind != "document" and MARKUP.search(
        # A film may hold a tag by chance; what makes it a page stands at its ends.
        data if found.kind == "image" else data[:4096] + data[-4096:]
    ):
        second = "an HTML page"
    if second:
        raise BadMedia("mixed", f"the file is a {found.label} and {second} at once: export it anew")
