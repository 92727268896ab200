"""The web server: the page and its scripts, the socket, uploads and the control API.

=========================== ==========================================================
``GET /``                    the page, as web.whatsapp.com serves it
``GET /phone``               a person plays the phones: scan a code with one click
``GET /rsrc/<hash>/<file>``  scripts and styles; the address changes with the content
``GET /qr.svg?text=``        a QR code as an image
``GET /ws/chat``             the page's socket, see `sessions`
``POST /mms/upload``         encrypted media, from a page
``GET /v/<id>``              encrypted media, to a page
``* /__sim/<op>``            control API, see `control`
=========================== ==========================================================
"""

from __future__ import annotations

import hashlib
import io
import ipaddress
import secrets
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from string import Template

import qrcode
import qrcode.image.svg
from aiohttp import web

from whatsapp.simulator.control import Control
from whatsapp.simulator.media import hash_of
from whatsapp.simulator.outgoing import travel
from whatsapp.simulator.sessions import Pairing, Session
from whatsapp.simulator.state import World

PAGE = Path(__file__).with_name("page")
MAX_UPLOAD = 128 << 20  # bytes
MAX_QR_TEXT = 1000  # characters

# As strict as the real page's where it matters to a client: scripts need the nonce of this very
# answer, and strings do not become scripts (Trusted Types). Nothing is loaded from elsewhere.
CONTENT_SECURITY_POLICY = Template(
    "default-src 'self' data: blob:; "
    "script-src 'nonce-$nonce' 'strict-dynamic' 'wasm-unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; "
    "connect-src 'self' data: blob: ws: wss:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_TYPES = {".js": "text/javascript", ".css": "text/css"}

# Order matters: a file may use what those before it define.
SCRIPTS = (
    "constants.js",
    "observable.js",
    "wid.js",
    "prefs.js",
    "message-key.js",
    "store.js",
    "comms.js",
    "connection.js",
    "contacts.js",
    "models.js",
    "collections.js",
    "groups.js",
    "incoming.js",
    "send.js",
    "presence.js",
    "receipts.js",
    "media-crypto.js",
    "media.js",
    "media-download.js",
    "linking.js",
    "compat-wa-js.js",
    "compat-whatsapp-web-js.js",
    "names.js",
    "screen-parts.js",
    "screen.js",
    "boot.js",
)


# The phone is drawn with the same pieces.
PHONE_SCRIPTS = (
    "phone-loader.js",
    "names.js",
    "screen-parts.js",
    "phone.js",
    "phone-links.js",
)


class HostRefusedError(ValueError):
    """The simulator was asked to listen on an address that other machines can reach."""


@dataclass(frozen=True)
class Options:
    """What the command line sets. `port` 0 takes a free one; `tls` is a ready server context."""

    host: str = "127.0.0.1"
    port: int = 9300
    ref_ttl: float = 20.0  # seconds a QR code lives
    refs: int = 6  # codes until the page gives up
    state_file: Path | None = None
    tls: ssl.SSLContext | None = None


class Assets:
    """The page's files under addresses that hold a hash of all of them, so they may be cached."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {f.name: f for f in folder.iterdir() if f.suffix in _TYPES}
        whole = hashlib.sha256()
        for name in sorted(self.files):
            whole.update(name.encode() + self.files[name].read_bytes())
        self.version = whole.hexdigest()[:12]

    def address(self, name: str) -> str:
        if name not in self.files:
            raise FileNotFoundError(f"{name} is not in {self.folder}")
        return f"/rsrc/{self.version}/{name}"

    def script(self, name: str, nonce: str, *, defer: bool = True) -> str:
        """A script element; `defer` keeps the order and waits for the document."""
        when = " defer" if defer else ""
        return f'<script nonce="{nonce}" src="{self.address(name)}"{when}></script>'

    def template(self, name: str) -> Template:
        return Template((self.folder / name).read_text(encoding="utf-8"))


class Simulator:
    """The aiohttp application around one `World`."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self.world = World(state_file=self.options.state_file)
        self.pairing = Pairing(ref_ttl=self.options.ref_ttl, refs=self.options.refs)
        self.assets = Assets(PAGE)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_UPLOAD)
        app.router.add_get("/", self.page)
        app.router.add_get("/phone", self.phone)
        app.router.add_get("/rsrc/{version}/{name}", self.asset)
        app.router.add_get("/qr.svg", self.qr)
        app.router.add_get("/ws/chat", self.socket)
        app.router.add_post("/mms/upload", self.upload)
        app.router.add_get("/v/{id}", self.download)
        app.router.add_route("*", "/__sim/{op}", Control(self.world).handle)
        app.on_startup.append(self._go_on)
        app.on_shutdown.append(self._close_sockets)
        return app

    async def _go_on(self, _app: web.Application) -> None:
        """What was on its way when the last process ended travels on."""
        for message in self.world.travelling():
            self.world.run(travel(self.world, message))

    async def page(self, request: web.Request) -> web.Response:
        """WhatsApp Web; for a headless browser the note that it is too old, as the real one."""
        if "HeadlessChrome" in request.headers.get("User-Agent", ""):
            return self._html("update.html", nonce=secrets.token_urlsafe(12), scripts="")
        nonce = secrets.token_urlsafe(12)
        behaviour = self.world.behaviour
        scripts = [self.assets.script("loader.js", nonce, defer=False)]
        if behaviour.boot == "ok":
            scripts += [self.assets.script(name, nonce) for name in SCRIPTS]
        return self._html(
            "index.html", nonce=nonce, scripts="\n".join(scripts), msg_key=behaviour.msg_key
        )

    async def phone(self, _request: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(12)
        scripts = [self.assets.script(name, nonce) for name in PHONE_SCRIPTS]
        return self._html("phone.html", nonce=nonce, scripts="\n".join(scripts))

    def _html(self, template: str, *, nonce: str, scripts: str, **values: str) -> web.Response:
        text = self.assets.template(template).substitute(
            nonce=nonce, scripts=scripts, style=self.assets.address("screen.css"), **values
        )
        return web.Response(
            text=text,
            content_type="text/html",
            headers={
                "Content-Security-Policy": CONTENT_SECURITY_POLICY.substitute(nonce=nonce),
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            },
        )

    async def asset(self, request: web.Request) -> web.StreamResponse:
        file = self.assets.files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound(text="no such file")
        fresh = request.match_info["version"] == self.assets.version
        return web.FileResponse(
            file,
            headers={
                "Content-Type": _TYPES[file.suffix] + "; charset=utf-8",
                "Cache-Control": "public, max-age=31536000, immutable" if fresh else "no-store",
                "X-Content-Type-Options": "nosniff",
            },
        )

    async def qr(self, request: web.Request) -> web.Response:
        text = request.query.get("text", "")
        if not 0 < len(text) <= MAX_QR_TEXT:
            raise web.HTTPBadRequest(text=f"text: give 1 to {MAX_QR_TEXT} characters")
        code = qrcode.QRCode(border=0, image_factory=qrcode.image.svg.SvgPathImage)
        code.add_data(text)
        image = io.BytesIO()
        code.make_image().save(image)
        return web.Response(
            body=image.getvalue(),
            content_type="image/svg+xml",
            headers={"Cache-Control": "no-store"},
        )

    async def socket(self, request: web.Request) -> web.StreamResponse:
        if self.world.is_offline():
            raise web.HTTPServiceUnavailable(text="the network is cut (control API: offline)")
        agent = request.headers.get("User-Agent", "")
        return await Session(self.world, self.pairing, agent).run(request)

    async def upload(self, request: web.Request) -> web.Response:
        """Encrypted media: query `hash` is base64 of the body's SHA-256, `auth` the device token.

        Answers `{"directPath": ...}` for the message to point to.
        """
        device = self.world.devices.get(request.query.get("auth", ""))
        if device is None:
            raise web.HTTPUnauthorized(text="auth: not a linked device")
        if self.world.is_offline(device.phone):
            raise web.HTTPServiceUnavailable(text="the network is cut (control API: offline)")
        body = await request.read()
        if hash_of(body) != request.query.get("hash"):
            raise web.HTTPBadRequest(text="hash: not the SHA-256 of the uploaded body")
        path = "/v/" + secrets.token_hex(12)
        self.world.keep_upload(path, body)
        return web.json_response({"directPath": path})

    async def download(self, request: web.Request) -> web.Response:
        """Encrypted media that somebody sent, by its `directPath`; 410 once it is gone."""
        if self.world.is_offline():
            raise web.HTTPServiceUnavailable(text="the network is cut (control API: offline)")
        body = self.world.uploads.get(request.path)
        if body is None:
            raise web.HTTPGone(text="this file is not kept (any more)")
        return web.Response(body=body, content_type="application/octet-stream")

    async def _close_sockets(self, _app: web.Application) -> None:
        for line in list(self.world.lines):
            line.hang_up()


def check_host(host: str) -> str:
    """`host` when it is a loopback address or localhost; `HostRefusedError` otherwise."""
    if host == "localhost":
        return host
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise HostRefusedError(
        f"--host {host}: the simulator listens on this machine only, since its control API needs "
        "no password; use 127.0.0.1, ::1 or localhost"
    )


async def start(simulator: Simulator) -> tuple[web.AppRunner, str]:
    """Listen. Returns the runner (to `cleanup`) and the base URL. Raises `HostRefusedError`, and
    `OSError` when the port is taken."""
    options = simulator.options
    host = check_host(options.host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, options.port))
    except OSError:
        listening.close()
        raise
    port = listening.getsockname()[1]
    runner = web.AppRunner(simulator.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, listening, ssl_context=options.tls).start()
    scheme = "https" if options.tls else "http"
    shown = f"[{host}]" if ":" in host else host
    return runner, f"{scheme}://{shown}:{port}"
