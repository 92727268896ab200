"""Our own previews of links: title, description and picture of the page, fetched by us.

    preview = previews.make("https://shop.example/offer", tenant=tenant)    # or None

Nothing is executed and nothing the page names is trusted: its address and its picture's go through
`fetching`, the picture is recognised by its bytes and drawn anew, small. A page that does not
answer, is none, or says nothing about itself has no preview: the link is sent all the same. Made
before a message is queued, never while one is being sent.
"""

from __future__ import annotations

import io
import re
import time
import unicodedata
from html.parser import HTMLParser
from urllib.parse import urljoin

import structlog
from PIL import Image, ImageOps, UnidentifiedImageError

from accounts.models import Tenant
from whatsapp import media
from whatsapp.contents import Preview
from whatsapp.fetching import CannotFetch, Fetched, Fetcher
from whatsapp.filetypes import BadMedia, recognise
from whatsapp.models import Media

log = structlog.get_logger(__name__)

SECONDS = 8.0  # for a page and its picture together
MAX_PAGE = 4 * media.MIB  # bytes that are fetched
MAX_HEAD = 512 * 1024  # characters that are read: titles stand at the beginning
CHUNK = 16 * 1024
PARSE_SECONDS = 1.0
MAX_PICTURE = 5 * media.MIB
MAX_PIXELS = 20_000_000
SIDE = 300  # pixels of the longer side; WhatsApp shows it smaller
MAX_TITLE = 300
MAX_DESCRIPTION = 500
# What pages really are in; Python knows more under such names, and some of that is slow.
CHARSETS = re.compile(
    r"utf-?8|us-ascii|iso-8859-\d{1,2}|latin-?1|windows-125\d|koi8-[ru]|utf-16(?:le|be)?"
    r"|shift_jis|euc-(?:jp|kr)|gb2312|gbk|gb18030|big5",
    re.ASCII | re.IGNORECASE,
)


def make(url: str, *, tenant: Tenant, seconds: float = SECONDS) -> Preview | None:
    """The preview of a page, its picture stored once; None when it has none to show."""
    until = time.monotonic() + seconds
    try:
        page = Fetcher(largest=MAX_PAGE).fetch(url, deadline=seconds)
    except CannotFetch as error:
        log.info("no preview", code=error.code)
        return None
    head = _read_head(page)
    title = _tidy(head.said("og:title", "twitter:title") or head.title, MAX_TITLE)
    if not title:
        return None
    description = head.said("og:description", "description", "twitter:description")
    picture = None
    if address := head.said("og:image:secure_url", "og:image", "og:image:url", "twitter:image"):
        left = until - time.monotonic()
        picture = _picture(url, address, tenant, seconds=max(left, 0.001))
    return Preview(title, _tidy(description, MAX_DESCRIPTION), picture)


class _Head(HTMLParser):
    """What the head of a page says about it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.over = False
        self._in_title = False
        self._metas: dict[str, str] = {}

    def said(self, *names: str) -> str:
        return next((self._metas[name] for name in names if self._metas.get(name)), "")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta":
            values = {name: value or "" for name, value in attrs}
            name = (values.get("property") or values.get("name") or "").strip().lower()
            if name:
                self._metas.setdefault(name, values.get("content", "").strip())
        self._in_title = tag == "title" and not self.title
        self.over = self.over or tag == "body"

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False
        self.over = self.over or tag == "head"

    def handle_data(self, data: str) -> None:
        if self._in_title and len(self.title) < MAX_TITLE:
            self.title += data


def _read_head(page: Fetched) -> _Head:
    head = _Head()
    kind, _semicolon, options = page.content_type.partition(";")
    if kind.strip().lower() not in {"text/html", "application/xhtml+xml"}:
        return head
    text = _decode(page.data[: 2 * MAX_HEAD], options)[:MAX_HEAD]
    until = time.monotonic() + PARSE_SECONDS
    for begin in range(0, len(text), CHUNK):
        try:
            head.feed(text[begin : begin + CHUNK])
        except AssertionError:  # what html.parser makes of "<![<!["
            break
        # Some junk takes it seconds; what it has read until then is as good as any.
        if head.over or time.monotonic() > until:
            break
    return head


def _decode(data: bytes, options: str) -> str:
    """By the charset that the server, or else the page itself, names."""
    found = re.search(r"charset\s*=\s*[\"']?([\w.-]{1,20})", options) or re.search(
        r"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.-]{1,20})",
        data[:2048].decode("latin-1"),
        re.IGNORECASE,
    )
    name = found[1] if found else "utf-8"
    if not CHARSETS.fullmatch(name):
        name = "utf-8"
    try:
        return data.decode(name, errors="replace")
    except LookupError:
        return data.decode(errors="replace")


def _tidy(text: str, longest: int) -> str:
    """One line of printable characters; one that is too long ends in an ellipsis."""
    text = unicodedata.normalize("NFC", text[: 10 * longest])
    line = " ".join("".join(c if _is_shown(c) else " " for c in text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _is_shown(character: str) -> bool:
    # Joiners belong to emoji and to Indic scripts; other format characters turn texts round.
    return unicodedata.category(character)[0] != "C" or character in "\u200c\u200d"


def _picture(page: str, address: str, tenant: Tenant, *, seconds: float) -> Media | None:
    try:
        url = urljoin(page, address)
        data = Fetcher(largest=MAX_PICTURE).fetch(url, deadline=seconds).data
        return media.store(
            tenant=tenant, data=_shrink(data), filename="preview.jpg", kind="image", source_url=url
        )
    except (CannotFetch, BadMedia, ValueError) as error:  # the last for "//["
        log.info("a preview without its picture", code=getattr(error, "code", "bad_url"))
        return None


def _shrink(data: bytes) -> bytes:
    """The picture drawn anew as a small JPEG. Raises `BadMedia`."""
    if recognise(data).kind != "image":
        raise BadMedia("wrong_kind", "this is no picture")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise BadMedia("too_large", "this picture is too large for a preview")
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
            upright.thumbnail((SIDE, SIDE))
            sheet = Image.new("RGB", upright.size, "white")
            sheet.paste(upright, mask=upright)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        if isinstance(error, BadMedia):
            raise
        raise BadMedia("damaged", "this picture cannot be read") from error
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=80, optimize=True)
    return out.getvalue()
