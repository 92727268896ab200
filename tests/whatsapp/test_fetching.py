"""Fetching a file from an address that somebody typed. The servers here are on loopback: the tests
say so by giving the fetcher another allowance; production code has no such switch."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from whatsapp import fetching
from whatsapp.fetching import CannotFetch, Fetcher

LOOPBACK = ipaddress.ip_address("127.0.0.1")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.path, self.headers))
        status, headers, body = self.server.pages[self.path.partition("?")[0]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.pages, httpd.seen = {}, []
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def near(server, **more):
    """A fetcher that may reach this one server under any name."""
    port = server.server_address[1]
    return Fetcher(
        **{
            "resolver": lambda *_: ["127.0.0.1"],
            "permits": lambda address: address == LOOPBACK,
            "ports": frozenset({port}),
            **more,
        }
    )


def at(server, path, host="files.test"):
    return f"http://{host}:{server.server_address[1]}{path}"


def test_a_file_comes_with_its_name_and_type(server):
    server.pages["/a/day%202.png"] = (200, {"Content-Type": "image/png"}, b"\x89PNG...")

    got = near(server).fetch(at(server, "/a/day%202.png?x=1"), deadline=5)

    assert (got.data, got.filename, got.content_type) == (b"\x89PNG...", "day 2.png", "image/png")
    path, headers = server.seen[0]
    assert path == "/a/day%202.png?x=1"
    assert headers["Host"] == f"files.test:{server.server_address[1]}"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.1",
        "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1",
        "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8",
        "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:1::1",
        "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fec0::1", "ff02::1", "3fff::1", "5f00::1",
    ],
)  # fmt: skip
def test_addresses_that_are_no_public_server_are_refused(address):
    assert not fetching.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "100.63.0.1", "2a00:1450:4007::200e"])
def test_addresses_of_public_servers_are_allowed(address):
    assert fetching.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/",
        "http://0177.0.0.1/", "http://0/", "http://[::1]/", "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://localhost/",
        "http://127.0.0.1./", "http://LOCALHOST/", "https://127.0.0.1/", "http://１２７.0.0.1/",
        "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/",
    ],
)  # fmt: skip
def test_our_own_network_is_refused_however_it_is_written(url):
    with pytest.raises(CannotFetch) as refused:
        fetching.fetch(url, deadline=5)
    assert refused.value.code in {"private_address", "bad_url", "unreachable"}
    assert "127" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "", "files.test/x", "ftp://files.test/x", "file:///etc/passwd", "gopher://files.test/",
        "data:text/plain,x", "http://", "http:///x", "http://files.test:22/", "http://files.test:8080/",
        "http://user:pw@files.test/", "http://files.test@127.0.0.1/", "http://files.test/\r\nX: y",
        "http://files.test\\@127.0.0.1/", "http://files.test/a b", "http://[fe80::1%25eth0]/",
        "http://files.test:99999/", "http://[::1/", "http://" + "a" * 70 + ".test/",
        "http://files.test/" + "a" * 1000, "javascript:alert(1)", "//files.test/x",
    ],
)  # fmt: skip
def test_what_is_no_plain_web_address_is_refused_without_a_look_up(url):
    asked = []
    fetcher = Fetcher(resolver=lambda host, _port: asked.append(host) or ["127.0.0.1"])

    with pytest.raises(CannotFetch) as refused:
        fetcher.fetch(url, deadline=5)

    assert refused.value.code == "bad_url"
    assert asked == []


def test_a_host_with_one_private_address_among_public_ones_is_refused():
    fetcher = Fetcher(resolver=lambda *_: ["8.8.8.8", "10.0.0.1"])

    with pytest.raises(CannotFetch) as refused:
        fetcher.fetch("http://files.test/", deadline=5)

    assert refused.value.code == "private_address"


def test_a_name_that_changes_its_mind_is_asked_once_only(server):
    """Rebinding: what was checked is what is connected to."""
    server.pages["/x"] = (200, {}, b"ok")
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    asked = []

    def resolver(host, port):
        asked.append(host)
        return next(answers)

    assert near(server, resolver=resolver).fetch(at(server, "/x"), deadline=5).data == b"ok"
    assert asked == ["files.test"]


def test_a_redirect_is_followed_and_its_host_is_checked_like_the_first(server):
    server.pages["/to"] = (302, {"Location": "/x"}, b"")
    server.pages["/x"] = (200, {}, b"ok")
    server.pages["/in"] = (307, {"Location": at(server, "/x", host="inside.test")}, b"")
    names = {"files.test": ["127.0.0.1"], "inside.test": ["10.0.0.1"]}
    fetcher = near(server, resolver=lambda host, _port: names[host])

    assert fetcher.fetch(at(server, "/to"), deadline=5).data == b"ok"
    with pytest.raises(CannotFetch) as refused:
        fetcher.fetch(at(server, "/in"), deadline=5)
    assert refused.value.code == "private_address"


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "http://files.test:22/", "gopher://x/", "//["]
)
def test_a_redirect_to_another_scheme_or_port_is_refused(server, target):
    server.pages["/to"] = (301, {"Location": target}, b"")

    with pytest.raises(CannotFetch) as refused:
        near(server).fetch(at(server, "/to"), deadline=5)

    assert refused.value.code == "bad_url"


def test_redirects_end_after_three(server):
    for n in range(5):
        server.pages[f"/{n}"] = (302, {"Location": f"/{n + 1}"}, b"")

    with pytest.raises(CannotFetch) as refused:
        near(server).fetch(at(server, "/0"), deadline=5)

    assert refused.value.code == "too_many_redirects"
    assert len(server.seen) == 4


def test_proxies_from_the_environment_are_not_used(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.pages["/x"] = (200, {}, b"ok")

    assert near(server).fetch(at(server, "/x"), deadline=5).data == b"ok"


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not_found"), (500, "bad_answer"), (206, "bad_answer")]
)
def test_an_answer_other_than_200_is_no_file(server, status, code):
    server.pages["/x"] = (status, {}, b"sorry")

    with pytest.raises(CannotFetch) as refused:
        near(server).fetch(at(server, "/x"), deadline=5)

    assert refused.value.code == code


def test_a_compressed_answer_is_refused(server):
    server.pages["/x"] = (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b")

    with pytest.raises(CannotFetch) as refused:
        near(server).fetch(at(server, "/x"), deadline=5)

    assert refused.value.code == "bad_answer"


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_that_is_too_large_is_cut_whether_announced_or_not(server, announced):
    body = b"x" * 2000
    if announced:
        server.pages["/x"] = (200, {}, body)
    else:
        chunked = b"7d0\r\n" + body + b"\r\n0\r\n\r\n"
        server.pages["/x"] = (200, {"Transfer-Encoding": "chunked"}, chunked)

    with pytest.raises(CannotFetch) as refused:
        near(server, largest=1000).fetch(at(server, "/x"), deadline=5)

    assert refused.value.code == "too_large"


@contextmanager
def dripping(chunks):
    """A server that sends a byte every 50 ms for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve():
        with listener, listener.accept()[0] as connection:
            try:
                connection.sendall(chunks)
                while not stop.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener
    stop.set()
    thread.join(2)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b""]
)
def test_a_server_that_drips_is_cut_at_the_deadline(start):
    with dripping(start) as listener:
        port = listener.getsockname()[1]
        fetcher = Fetcher(
            resolver=lambda *_: ["127.0.0.1"],
            permits=lambda _: True,
            ports=frozenset({port}),
        )
        began = time.monotonic()
        with pytest.raises(CannotFetch) as refused:
            fetcher.fetch(f"http://files.test:{port}/", deadline=0.6)

    assert refused.value.code == "too_slow"
    assert time.monotonic() - began < 3


def test_a_name_server_that_is_silent_is_left_at_the_deadline():
    fetcher = Fetcher(resolver=lambda *_: time.sleep(2) or ["8.8.8.8"])
    began = time.monotonic()

    with pytest.raises(CannotFetch) as refused:
        fetcher.fetch("http://files.test/", deadline=0.3)

    assert refused.value.code == "too_slow"
    assert time.monotonic() - began < 1.5


def test_a_server_that_is_not_there_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    fetcher = Fetcher(
        resolver=lambda *_: ["127.0.0.1"],
        permits=lambda _: True,
        ports=frozenset({port}),
    )

    with pytest.raises(CannotFetch) as refused:
        fetcher.fetch(f"http://files.test:{port}/", deadline=2)

    assert refused.value.code == "unreachable"


def certificate(folder, name):
    """A self-signed certificate for `name`: paths of certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, secret


def test_tls_is_spoken_with_the_hosts_name_though_the_connection_goes_to_an_address(
    server, tmp_path
):
    pem, key = certificate(tmp_path, "files.test")
    names = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem, key)
    tls.sni_callback = lambda _connection, name, _context: names.append(name)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.pages["/x"] = (200, {}, b"ok")
    port = server.server_address[1]
    fetcher = near(server, tls=ssl.create_default_context(cafile=str(pem)))

    assert fetcher.fetch(f"https://files.test:{port}/x", deadline=5).data == b"ok"
    assert names == ["files.test"]
    with pytest.raises(CannotFetch):  # another name than the certificate's
        fetcher.fetch(f"https://other.test:{port}/x", deadline=5)
    server.pages["/down"] = (302, {"Location": f"http://files.test:{port}/x"}, b"")
    with pytest.raises(CannotFetch) as refused:
        fetcher.fetch(f"https://files.test:{port}/down", deadline=5)
    assert "https to http" in str(refused.value)
