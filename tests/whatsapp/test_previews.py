"""Previews of links: what a page says about itself, fetched by us and by nobody else."""

import functools
import io
import time

import pytest
from PIL import Image

from accounts.models import Tenant
from tests.whatsapp.test_fetching import at, near
from tests.whatsapp.test_fetching import server as server  # a fixture
from tests.whatsapp.test_media import PDF, picture
from whatsapp import media, previews
from whatsapp.models import Media

HTML = {"Content-Type": "text/html; charset=utf-8"}
TEXT = {"Content-Type": "text/html"}
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def tenant(db, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    return Tenant.objects.create(slug="acme", name="Acme")


@pytest.fixture
def preview(tenant, server, monkeypatch):
    """The preview of a page that says `html`, with other pages beside it."""
    monkeypatch.setattr(previews, "Fetcher", functools.partial(near, server))

    def make(html, headers=HTML, **others):
        data = html if isinstance(html, bytes) else html.encode()
        server.pages = {"/offer": (200, headers, data)}
        server.pages |= {f"/{name}": found for name, found in others.items()}
        return previews.make(at(server, "/offer", host="shop.test"), tenant=tenant)

    return make


PAGE = """<!doctype html><html><head>
<title>Shop &amp; Co</title>
<meta property="og:title" content="Offer of the&#10;week">
<meta name="description" content="for everybody">
<meta property="og:description" content="20 % off">
<meta property="og:image" content="/picture">
</head><body><title>Not this</title></body></html>"""


def test_a_page_is_shown_with_its_title_description_and_picture(preview, tenant, server):
    found = preview(PAGE, picture=(200, JPEG, picture("JPEG", (1200, 630))))

    assert (found.title, found.description) == ("Offer of the week", "20 % off")
    assert [path for path, _headers in server.seen] == ["/offer", "/picture"]
    drawn = Image.open(io.BytesIO(media.open_bytes(found.picture)))
    assert (drawn.format, drawn.size) == ("JPEG", (300, 158))
    assert found.picture.size < 32 * 1024
    assert found.picture.tenant == tenant


def test_the_same_picture_is_stored_once(preview):
    pictured = {"picture": (200, JPEG, picture("JPEG", (600, 600)))}
    assert preview(PAGE, **pictured).picture == preview(PAGE, **pictured).picture
    assert Media.objects.count() == 1


def test_a_page_without_open_graph_is_shown_by_its_title(preview):
    found = preview("<TITLE>Shop &amp; Co</TITLE><META NAME=Description CONTENT=Things>")
    assert (found.title, found.description, found.picture) == ("Shop & Co", "Things", None)


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        ("<title>Été</title>".encode("latin-1"), {"Content-Type": "text/html; charset=ISO-8859-1"}),
        ('<meta charset="windows-1252"><title>Été</title>'.encode("cp1252"), TEXT),
        ("<title>Été</title>".encode(), {"Content-Type": "text/html; charset=unicode_escape"}),
        ("<title>Été</title>".encode("utf-16"), {"Content-Type": "text/html; charset=utf-16"}),
    ],
)  # fmt: skip
def test_a_page_is_read_in_the_letters_it_is_written_in(preview, data, headers):
    assert preview(data, headers).title == "Été"


def test_what_turns_texts_round_or_breaks_lines_is_left_out_and_emoji_stay(preview):
    found = preview("<title>a\u202egpj.exe \t\n b\0 👩‍👧 &#x202e;c</title>")
    assert found.title == "a gpj.exe b 👩‍👧 c"


def test_long_words_are_cut(preview):
    found = preview(f"<title>{'x' * 5000}</title><meta name=description content={'y' * 5000}>")
    assert (len(found.title), len(found.description)) == (300, 500)
    assert found.title.endswith("x…")


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (404, HTML, PAGE),
        (500, HTML, PAGE),
        (200, {"Content-Type": "application/pdf"}, PDF.decode("latin-1")),
        (200, {}, PAGE),
        (200, HTML, ""),
        (200, HTML, "<title> \u200b </title>"),
        (200, HTML | {"Content-Length": str(10**9)}, PAGE),
        (302, {"Location": "http://10.0.0.1/"}, ""),
    ],
)
def test_a_page_that_says_nothing_has_no_preview(preview, server, tenant, status, headers, body):
    preview("")
    server.pages["/offer"] = (status, headers, body.encode())

    assert previews.make(at(server, "/offer", host="shop.test"), tenant=tenant) is None


def test_no_page_of_our_own_network_is_looked_at(server, tenant):
    server.pages["/"] = (200, HTML, PAGE.encode())

    for host in ("127.0.0.1", "localhost", "[::1]", "169.254.169.254"):
        assert previews.make(f"http://{host}/", tenant=tenant) is None
        assert previews.make(at(server, "/", host=host), tenant=tenant) is None
    assert server.seen == []


@pytest.mark.parametrize(
    ("address", "headers", "data"),
    [
        ("/missing", {}, b""),
        ("http://10.0.0.1/a.jpg", {}, b""),
        ("file:///etc/passwd", {}, b""),
        ("//[", {}, b""),
        ("data:image/png;base64,AAAA", {}, b""),
        ("/picture", JPEG, b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("/picture", JPEG, b"GIF89a" + b"\0" * 100),
        ("/picture", JPEG, picture("JPEG")[:200]),
        ("/picture", JPEG, PDF),
        ("/picture", JPEG, picture("PNG", (5000, 4500))),
    ],
)
def test_a_picture_that_is_none_is_left_out(preview, address, headers, data):
    found = preview(
        f"<title>Offer</title><meta property='og:image' content='{address}'>",
        picture=(200, headers, data),
    )

    assert (found.title, found.picture) == ("Offer", None)
    assert not Media.objects.exists()


def test_a_clear_picture_stands_on_white(preview):
    out = io.BytesIO()
    Image.new("RGBA", (50, 50), (0, 0, 0, 0)).save(out, "PNG")
    found = preview(PAGE, picture=(200, {}, out.getvalue()))

    drawn = Image.open(io.BytesIO(media.open_bytes(found.picture)))
    assert drawn.getpixel((25, 25)) == (255, 255, 255)


@pytest.mark.parametrize(
    "junk",
    ["<![", "<a ", "<", "<!--", "<script>", "<title>", "&#", "</titl", "<meta a='", "\0\xff"],
)
def test_junk_takes_no_longer_than_a_page(preview, junk):
    began = time.monotonic()
    preview(junk * (1_000_000 // len(junk)))
    assert time.monotonic() - began < 5
