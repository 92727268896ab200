"""Call an address somebody typed, without becoming their way into our network.

The host is resolved once, every address it has must be a public one, and the connection goes to
an address that was checked: a name that answers differently a moment later changes nothing. Each
redirect is treated like a new address, and a call that posts something follows none. Proxies from
the environment are not used.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import ipaddress
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpcore

from whatsapp.media import MAX_BYTES, MIB

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]

MAX_URL = 1000  # characters; Media.source_url keeps as many
MAX_REDIRECTS = 3
PORTS = frozenset({80, 443})
LARGEST = max(MAX_BYTES.values())
CONNECT_SECONDS = 5.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})

# Everything that is not somebody's public server. Addresses that carry another one inside (NAT64,
# 6to4, Teredo, IPv4-mapped and -compatible) are refused whole: a gateway may unwrap them.
DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
        "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip
GLOBAL_UNICAST_V6 = ipaddress.ip_network("2000::/3")  # the rest of IPv6 is refused


class CannotFetch(Exception):
    """A file could not, or must not, be fetched.

    `code` is one of bad_url, private_address, not_found, bad_answer, too_large, too_slow,
    unreachable, too_many_redirects. The message names no address of our network.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole file; `filename` is the last part of the address, `content_type` the server's."""

    data: bytes = field(repr=False)
    filename: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to something posted: at most `largest` bytes of it."""

    status: int
    data: bytes = field(repr=False)


def fetch(url: str, *, deadline: float) -> Fetched:
    """GET `url` within `deadline` seconds in all. Raises `CannotFetch`."""
    return Fetcher().fetch(url, deadline=deadline)


def is_public(address: Address) -> bool:
    """Whether an address is a public server's."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in GLOBAL_UNICAST_V6 or address.scope_id
    ):
        return False
    return not any(address in network for network in DENIED if network.version == address.version)


# Resolution cannot be interrupted: it runs beside us, so that a name server's silence ends with
# our deadline and not with its own.
RESOLVERS = concurrent.futures.ThreadPoolExecutor(8, thread_name_prefix="resolve")


def resolve(host: str, port: int) -> Sequence[str]:
    """Addresses of a host as text, as the system knows them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one request goes."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def of(cls, url: str, *, ports: frozenset[int]) -> Place:
        """Read an address strictly: what two programs could read in two ways is refused."""
        if len(url) > MAX_URL:
            raise CannotFetch("bad_url", f"the address is longer than {MAX_URL} characters")
        if re.search(r"[\x00-\x20\x7f\\]", url):
            raise CannotFetch("bad_url", "the address contains spaces or control characters")
        try:
            parts = urlsplit(url)
            port = parts.port
            host = parts.hostname or ""
            if "%" in host or parts.username is not None or parts.password is not None:
                raise CannotFetch("bad_url", "the address contains a user name or a zone")
            if ":" not in host:
                host = host.encode("idna").decode("ascii")
        except (ValueError, UnicodeError) as error:
            raise CannotFetch("bad_url", "this is no address: use https://...") from error
        if parts.scheme not in {"http", "https"} or not host:
            raise CannotFetch("bad_url", "the address must begin with https:// or http://")
        port = port if port is not None else {"http": 80, "https": 443}[parts.scheme]
        if port not in ports:
            raise CannotFetch("bad_url", "only the ports 80 and 443 are allowed")
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        if parts.query:
            target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
        return cls(parts.scheme, host, port, target)

    @property
    def filename(self) -> str:
        return unquote(self.target.partition("?")[0].rpartition("/")[2])

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == default else f"{host}:{self.port}"


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Reading the system's certificates takes tens of milliseconds: once is enough."""
    return ssl.create_default_context()


class Fetcher:
    """`fetch` with its parts open: tests give another resolver, other ports, another allowance."""

    def __init__(
        self,
        *,
        resolver: Resolver = resolve,
        permits: Callable[[Address], bool] = is_public,
        ports: frozenset[int] = PORTS,
        largest: int = LARGEST,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.resolver = resolver
        self.permits = permits
        self.ports = ports
        self.largest = largest
        self.tls = tls or _trusted()

    def check(self, url: str) -> None:
        """Raises `CannotFetch` for what can be seen to be wrong without asking a name server."""
        place = Place.of(url, ports=self.ports)
        try:
            # Every way of writing a number: 2130706433 and 0x7f.1 are 127.0.0.1, too.
            found = socket.getaddrinfo(place.host, place.port, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            return
        if not all(self.permits(ipaddress.ip_address(str(entry[4][0]))) for entry in found):
            raise CannotFetch("private_address", "the address is not a public one")

    def fetch(self, url: str, *, deadline: float) -> Fetched:
        """GET `url`; see the module."""
        with self._clock(deadline) as clock:
            return self._follow(url, clock)

    def post(self, url: str, body: bytes, *, headers: Mapping[str, str], deadline: float) -> Answer:
        """POST `body` and return the answer, whatever its status. Raises `CannotFetch`."""
        with self._clock(deadline) as clock:
            place = Place.of(url, ports=self.ports)
            with self._open(place, clock, "POST", headers, body) as response:
                return Answer(response.status, self._body(response, clock, cut=True))

    @contextlib.contextmanager
    def _clock(self, deadline: float) -> Iterator[Clock]:
        clock = Clock(deadline)
        watch = threading.Timer(deadline, clock.cut)
        watch.daemon = True
        watch.start()
        try:
            yield clock
        except (httpcore.TimeoutException, TimeoutError) as error:
            raise CannotFetch("too_slow", "the server did not answer in time") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            if clock.remaining() <= 0:
                raise CannotFetch("too_slow", "the server did not answer in time") from error
            raise CannotFetch("unreachable", "the server cannot be reached") from error
        finally:
            watch.cancel()
            clock.forget()

    def _follow(self, url: str, clock: Clock) -> Fetched:
        for _hop in range(MAX_REDIRECTS + 1):
            place = Place.of(url, ports=self.ports)
            answer = self._get(place, clock)
            if isinstance(answer, Fetched):
                return answer
            try:
                onward = urljoin(url, answer)
            except ValueError as error:
                raise CannotFetch("bad_url", "the server redirects to no address") from error
            if place.scheme == "https" and urlsplit(onward).scheme != "https":
                raise CannotFetch("bad_url", "the address redirects from https to http")
            url = onward
        raise CannotFetch(
            "too_many_redirects", f"the address redirects more than {MAX_REDIRECTS} times"
        )

    def _get(self, place: Place, clock: Clock) -> Fetched | str:
        """The file, or the address a redirect leads to."""
        with self._open(place, clock, "GET", {"Accept": "*/*"}) as response:
            headers = _lower(response.headers)
            if response.status in REDIRECTS and b"location" in headers:
                return headers[b"location"].decode("latin-1")
            if response.status != 200:
                code = "not_found" if response.status in {404, 410} else "bad_answer"
                raise CannotFetch(code, f"the server answered {response.status}")
            if headers.get(b"content-encoding", b"identity").lower() not in {b"identity", b""}:
                raise CannotFetch("bad_answer", "the server sent the file compressed")
            return Fetched(
                data=self._body(response, clock),
                filename=place.filename,
                content_type=headers.get(b"content-type", b"").decode("latin-1")[:200],
            )

    @contextlib.contextmanager
    def _open(
        self,
        place: Place,
        clock: Clock,
        method: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Iterator[httpcore.Response]:
        backend = CheckedBackend(self, clock)
        seconds = max(clock.remaining(), 0.001)
        timeouts = dict.fromkeys(("read", "write", "pool"), seconds)
        timeouts["connect"] = min(seconds, CONNECT_SECONDS)
        every = [
            ("Host", place.host_header),
            # A compressed answer could unpack into anything.
            ("Accept-Encoding", "identity"),
            ("User-Agent", "relance"),
            ("Connection", "close"),
        ]
        if body is not None:
            every.append(("Content-Length", str(len(body))))
        with (
            httpcore.ConnectionPool(ssl_context=self.tls, network_backend=backend) as pool,
            pool.stream(
                method,
                httpcore.URL(
                    scheme=place.scheme, host=place.host, port=place.port, target=place.target
                ),
                headers=[*every, *headers.items()],
                content=body,
                extensions={"timeout": timeouts},
            ) as response,
        ):
            yield response

    def _body(self, response: httpcore.Response, clock: Clock, *, cut: bool = False) -> bytes:
        """All of an answer, or with `cut` its first `largest` bytes."""
        announced = _lower(response.headers).get(b"content-length", b"")
        too_large = announced.isdigit() and (len(announced) > 15 or int(announced) > self.largest)
        if too_large and not cut:
            raise self._too_large()
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > self.largest:
                if cut:
                    break
                raise self._too_large()
            if clock.remaining() <= 0:
                raise TimeoutError
        return bytes(body[: self.largest])

    def _too_large(self) -> CannotFetch:
        return CannotFetch("too_large", f"the file is larger than {self.largest / MIB:.0f} MiB")


def _lower(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in headers}


class Clock:
    """One deadline over everything: at its end the connections are cut, whatever they wait for."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._handles: list[socket.socket] = []

    def remaining(self) -> float:
        return self.end - time.monotonic()

    def watch(self, connection: socket.socket) -> None:
        # A second handle on the same connection: TLS takes the first one away.
        handle = socket.socket(fileno=os.dup(connection.fileno()))
        with self._lock:
            self._handles.append(handle)
        if self.remaining() <= 0:
            self.cut()

    def cut(self) -> None:
        with self._lock:
            for handle in self._handles:
                with contextlib.suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()


class CheckedBackend(httpcore.NetworkBackend):
    """Opens connections for httpcore: to checked addresses only. SNI stays the host's name."""

    def __init__(self, fetcher: Fetcher, clock: Clock) -> None:
        self.fetcher = fetcher
        self.clock = clock
        self.plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002  httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses(host, port)[:4]:
            seconds = min(timeout or CONNECT_SECONDS, max(self.clock.remaining(), 0.001))
            try:
                stream = self.plain.connect_tcp(address, port, seconds)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            self.clock.watch(stream.get_extra_info("socket"))
            return stream
        raise failure

    def _addresses(self, host: str, port: int) -> list[str]:
        """Addresses of a host. One that is not public refuses the host as a whole."""
        try:
            found = RESOLVERS.submit(self.fetcher.resolver, host, port).result(
                timeout=max(self.clock.remaining(), 0.001)
            )
        except (socket.gaierror, UnicodeError) as error:
            raise CannotFetch("unreachable", "there is no server of this name") from error
        addresses: list[str] = []
        for text in found:
            try:
                address = ipaddress.ip_address(text)
            except ValueError as error:
                raise CannotFetch("private_address", "the address is not a public one") from error
            if not self.fetcher.permits(address):
                raise CannotFetch("private_address", "the address is not a public one")
            if str(address) not in addresses:
                addresses.append(str(address))
        if not addresses:
            raise CannotFetch("unreachable", "there is no server of this name")
        return addresses
