"""What may be sent as a file, and how it is kept."""

import io
import struct
import threading
import zipfile

import pytest
from django.db import connection
from PIL import Image, PngImagePlugin

from accounts.models import Tenant
from whatsapp import filetypes, media
from whatsapp.media import BadMedia
from whatsapp.models import Media

pytestmark = pytest.mark.usefixtures("media_folder")


@pytest.fixture
def tenant(db):
    return Tenant.objects.create(slug="acme", name="Acme")


def picture(form="PNG", size=(40, 30), **options):
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, form, **options)
    return out.getvalue()


def office(part="word/document.xml", *, extra=None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(part, "<document/>")
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return out.getvalue()


def box(name, body=b""):
    return struct.pack(">I4s", 8 + len(body), name) + body


def film(brand=b"isom"):
    return box(b"ftyp", brand + b"\0\0\2\0") + box(b"moov", b"\0" * 20) + box(b"mdat", b"\0" * 50)


PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"

GOOD = {
    "jpeg": (picture("JPEG"), "image", "image/jpeg"),
    "png": (picture("PNG"), "image", "image/png"),
    "webp": (picture("WEBP"), "image", "image/webp"),
    "mp4": (film(), "video", "video/mp4"),
    "3gp": (film(b"3gp5"), "video", "video/3gpp"),
    "m4a": (film(b"M4A "), "audio", "audio/mp4"),
    "mp3 with tags": (b"ID3\x04\0\0\0\0\0\0" + b"\0" * 50, "audio", "audio/mpeg"),
    "mp3": (b"\xff\xfb\x90\x44" + b"\0" * 400, "audio", "audio/mpeg"),
    "aac": (b"\xff\xf1\x50\x80" + b"\0" * 60, "audio", "audio/aac"),
    "ogg": (b"OggS" + b"\0" * 60, "audio", "audio/ogg"),
    "pdf": (PDF, "document", "application/pdf"),
    "docx": (office(), "document", filetypes.DOCX.mime),
    "xlsx": (office("xl/workbook.xml"), "document", filetypes.XLSX.mime),
    "pptx": (office("ppt/presentation.xml"), "document", filetypes.PPTX.mime),
    "txt": ("Déjà vu 👋\r\n2 < 3\n".encode(), "document", "text/plain"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_whatsapp_carries_is_recognised_by_its_bytes(name):
    data, kind, mime = GOOD[name]

    found = filetypes.recognise(data)

    assert (found.kind, found.mime) == (kind, mime)


def bomb_png():
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    return out.getvalue()


def png_text_bomb():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 80_000_000, zip=True)
    return picture("PNG", pnginfo=info)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"
BAD = {
    "nothing": (b"", "empty", ""),
    "gif": (picture("GIF"), "not_allowed", "a GIF"),
    "bmp": (picture("BMP"), "not_allowed", "a BMP"),
    "tiff": (picture("TIFF"), "not_allowed", "a TIFF"),
    "heic": (film(b"heic"), "not_allowed", "a HEIC picture"),
    "mov": (film(b"qt  "), "not_allowed", "QuickTime"),
    "svg": (SVG, "not_allowed", "an SVG drawing"),
    "svg with a declaration": (b'<?xml version="1.0"?>\n' + SVG, "not_allowed", "SVG"),
    "html": (HTML, "not_allowed", "HTML"),
    "html after a greeting": (b"hello\n" + HTML, "not_allowed", "HTML"),
    "html with a mark": (b"\xef\xbb\xbf  <html>", "not_allowed", "HTML"),
    "xml": (b"<a/>", "not_allowed", "XML"),
    "program": (b"MZ\x90\0" + b"\0" * 60, "not_allowed", "program"),
    "shell script": (b"#!/bin/sh\nrm -rf /\n", "not_allowed", "script"),
    "zip": (office("readme.txt"), "not_allowed", "ZIP"),
    "macros": (office(extra={"word/vbaProject.bin": b"x"}), "not_allowed", "macros"),
    "old word": (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "not_allowed", "old Office"),
    "noise": (bytes(range(256)) * 4, "not_allowed", "does not carry"),
    "utf-16 text": ("hello".encode("utf-16"), "not_allowed", ""),
    "jpeg cut short": (picture("JPEG", (300, 300))[:-400], "damaged", "JPEG"),
    "png cut short": (picture("PNG", (300, 300))[:-20], "damaged", "PNG"),
    "webp cut short": (picture("WEBP", (300, 300))[:-40], "damaged", "WebP"),
    "jpeg in name only": (b"\xff\xd8\xff\xe0" + b"A" * 100, "damaged", "JPEG"),
    "pdf cut short": (PDF[:-10], "damaged", "PDF"),
    "film without index": (box(b"ftyp", b"isom\0\0\2\0") + b"junk", "damaged", "MP4"),
    "docx cut short": (office()[:-30], "damaged", "document"),
    "picture and archive": (picture("JPEG") + office("x.txt"), "mixed", "ZIP"),
    "picture and page": (picture("PNG") + HTML, "mixed", "HTML"),
    "picture and page inside": (
        picture("JPEG", comment=b"<script>alert(1)</script>"), "mixed", "HTML",
    ),
    "pdf and archive": (PDF[:-6] + office("x.txt") + b"%%EOF\n", "mixed", "ZIP"),
    "film and page": (film() + HTML, "mixed", "HTML"),
    "recording and archive": (GOOD["mp3"][0] + office("x.txt"), "mixed", "ZIP"),
    "picture of 400 million pixels": (bomb_png(), "bomb", "million"),
    "picture with a text of 80 MB": (png_text_bomb(), "damaged", "PNG"),
    "document of a gigabyte": (
        office(extra={"word/media/a": b"\0" * 20_000_000}), "bomb", "unpacks",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_everything_else_is_refused_with_a_sentence_for_its_owner(name):
    data, code, word = BAD[name]

    with pytest.raises(BadMedia) as refused:
        filetypes.recognise(data)

    assert refused.value.code == code
    assert word in str(refused.value)


def test_a_file_is_stored_once_however_often_it_comes(tenant, media_folder):
    first = media.store(tenant=tenant, data=GOOD["png"][0], filename="day2.png")
    again = media.store(tenant=tenant, data=GOOD["png"][0], filename="day2.png")
    as_document = media.store(
        tenant=tenant, data=GOOD["png"][0], filename="day2.png", kind="document"
    )

    assert first.pk == again.pk != as_document.pk
    assert (first.kind, first.mime, first.size) == ("image", "image/png", len(GOOD["png"][0]))
    assert len(list(media_folder.rglob("*.png"))) == 2
    assert media.open_bytes(first) == GOOD["png"][0]


def test_the_same_file_of_two_companies_is_two_files(tenant):
    other = Tenant.objects.create(slug="other", name="Other")

    ours = media.store(tenant=tenant, data=PDF, filename="guide.pdf")
    theirs = media.store(tenant=other, data=PDF, filename="guide.pdf")

    assert ours.pk != theirs.pk
    assert ours.file.name != theirs.file.name


def test_the_name_on_disk_cannot_be_guessed_and_holds_nothing_of_the_given_one(tenant):
    stored = media.store(tenant=tenant, data=PDF, filename="../../etc/passwd")

    assert "passwd" not in stored.file.name
    assert ".." not in stored.file.name
    assert stored.file.name.endswith(".pdf")
    assert stored.filename == "passwd.pdf"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("guide.pdf", "guide.pdf"),
        ("Guide de démarrage.PDF", "Guide de démarrage.pdf"),
        ("guide.exe", "guide.pdf"),
        ("C:\\Users\\x\\guide.pdf", "guide.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.pdf"),
        ("a\x00b\r\nc.pdf", "abc.pdf"),
        ("", "document.pdf"),
        (".pdf", "pdf.pdf"),
        ("...", "document.pdf"),
        ('a"b<c>.pdf', "a_b_c_.pdf"),
        ("x" * 500 + ".pdf", "x" * 120 + ".pdf"),
        ("no dots", "no dots.pdf"),
        ("v1.2 final version", "v1.2 final version.pdf"),
    ],
)
def test_the_recipient_sees_a_clean_name_that_tells_the_truth(given, kept):
    assert media.clean_filename(given, filetypes.PDF) == kept


def test_a_kind_that_the_file_is_not_is_refused():
    with pytest.raises(BadMedia) as refused:
        media.check(PDF, kind="image")
    assert refused.value.code == "wrong_kind"
    assert "PDF document" in str(refused.value)

    with pytest.raises(BadMedia):
        media.check(PDF, kind="sticker")


def test_a_file_larger_than_whatsapp_takes_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setitem(media.MAX_BYTES, Media.Kind.IMAGE, 1000)

    with pytest.raises(BadMedia) as refused:
        media.check(picture("PNG", (900, 900)), kind="image")

    assert refused.value.code == "too_large"
    assert media.check(picture("PNG", (900, 900)), kind="document")[0] == "document"


@pytest.mark.django_db(transaction=True)
def test_two_that_store_the_same_file_at_once_get_one_row_and_leave_one_file(media_folder):
    tenant = Tenant.objects.create(slug="acme", name="Acme")
    barrier, found = threading.Barrier(4), []

    def work():
        try:
            barrier.wait(5)
            found.append(media.store(tenant=tenant, data=PDF, filename="guide.pdf").pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(list(media_folder.rglob("*.pdf"))) == 1
