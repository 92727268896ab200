"""What the web server hands out, and media."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

import pytest
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.simulator.page_socket import ANA, BOB, Bench, Page, on_bench
from whatsapp.simulator.media import MediaError, decrypt, hash_of
from whatsapp.simulator.server import PAGE, SCRIPTS

DOCUMENT_KEYS = b"WhatsApp Document Keys"


def seal(plain: bytes, media_key: bytes) -> bytes:
    """Encrypt as a page does."""
    keys = HKDF(hashes.SHA256(), length=112, salt=None, info=DOCUMENT_KEYS).derive(media_key)
    padder = padding.PKCS7(128).padder()
    padded = padder.update(plain) + padder.finalize()
    encryptor = Cipher(algorithms.AES(keys[16:48]), modes.CBC(keys[:16])).encryptor()
    ciphertext = encryptor.update(padded) + encryptor.finalize()
    mac = hmac.new(keys[48:80], keys[:16] + ciphertext, hashlib.sha256).digest()[:10]
    return ciphertext + mac


async def upload(bench: Bench, page: Page, body: bytes, *, digest: str | None = None) -> str:
    query = {"type": "document", "auth": page.token or "", "hash": digest or hash_of(body)}
    async with bench.client.post("/mms/upload", params=query, data=body) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["directPath"])


@on_bench
async def test_uploaded_media_is_decrypted_and_recorded_by_its_plaintext(bench: Bench) -> None:
    page = await bench.linked()
    plain, key = os.urandom(40_000), os.urandom(32)

    path = await upload(bench, page, seal(plain, key))
    await page.message(
        ANA,
        "",
        type="document",
        caption="terms",
        directPath=path,
        mediaKey=base64.b64encode(key).decode(),
        filehash=hash_of(plain),
        mimetype="application/pdf",
        filename="terms.pdf",
    )
    [message] = await bench.record()

    assert message["body"] == "terms"
    assert message["media"] == {
        "sha256": hashlib.sha256(plain).hexdigest(),
        "size": len(plain),
        "mimetype": "application/pdf",
        "filename": "terms.pdf",
    }


@on_bench
async def test_a_file_for_another_account_can_be_fetched_there_and_is_kept_for_nobody_else(
    bench: Bench,
) -> None:
    plain, key = b"the terms", os.urandom(32)
    page, other = await bench.linked(), await bench.linked(BOB)
    sealed = seal(plain, key)
    fields = {
        "type": "document",
        "mediaKey": base64.b64encode(key).decode(),
        "filehash": hash_of(plain),
        "caption": "for you",
    }

    paths = [await upload(bench, page, sealed) for _ in range(2)]
    await page.message(BOB, "", "3EB01", directPath=paths[0], **fields)
    await page.message(ANA, "", "3EB02", directPath=paths[1], **fields)
    told = (await other.next("message"))["msg"]

    assert (told["directPath"], told["caption"]) == (paths[0], "for you")
    assert await (await bench.client.get(told["directPath"])).read() == sealed
    assert (await bench.client.get(paths[1])).status == 410


@on_bench
async def test_a_message_that_points_to_other_media_is_refused(bench: Bench) -> None:
    page = await bench.linked()
    key = os.urandom(32)

    path = await upload(bench, page, seal(b"what was uploaded", key))
    answer = await page.message(
        ANA,
        type="document",
        directPath=path,
        mediaKey=base64.b64encode(key).decode(),
        filehash=hash_of(b"what it claims"),
    )

    assert answer["error"]["code"] == 400
    assert (await bench.record())[0]["received"] is None


@pytest.mark.parametrize("spoilt", [0, -1], ids=["body", "mac"])
def test_a_spoilt_upload_does_not_decrypt(spoilt: int) -> None:
    key = os.urandom(32)
    body = bytearray(seal(b"hello", key))
    body[spoilt] ^= 1

    with pytest.raises(MediaError, match="MAC"):
        decrypt(bytes(body), media_key=key, kind="document")


@on_bench
async def test_an_upload_needs_a_linked_device_and_the_right_hash(bench: Bench) -> None:
    page = await bench.linked()

    async def status(**query: str) -> int:
        async with bench.client.post("/mms/upload", params=query, data=b"body") as answer:
            return answer.status

    assert await status(hash=hash_of(b"body"), auth="nobody") == 401
    assert await status(hash=hash_of(b"other"), auth=page.token or "") == 400
    await bench.control("offline", seconds=60)
    assert await status(hash=hash_of(b"body"), auth=page.token or "") == 503


@on_bench
async def test_the_page_has_a_strict_policy_with_a_fresh_nonce_for_each_answer(
    bench: Bench,
) -> None:
    nonces = set()
    for _ in range(2):
        async with bench.client.get("/") as answer:
            policy = answer.headers["Content-Security-Policy"]
            html = await answer.text()
        [nonce] = set(re.findall(r"'nonce-([^']+)'", policy))
        nonces.add(nonce)
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe-eval'" not in policy.replace("'wasm-unsafe-eval'", "")
        assert html.count(f'nonce="{nonce}"') == len(SCRIPTS) + 1 == html.count("<script")

    assert len(nonces) == 2


@on_bench
async def test_every_script_is_served_and_may_be_cached(bench: Bench) -> None:
    async with bench.client.get("/") as answer:
        addresses = re.findall(r'(?:src|href)="(/rsrc/[^"]+)"', await answer.text())

    for address in addresses:
        async with bench.client.get(address) as answer:
            assert answer.status == 200
            assert "immutable" in answer.headers["Cache-Control"]
    assert len(addresses) == len(SCRIPTS) + 2


def test_no_file_of_the_page_names_another_host() -> None:
    for file in PAGE.iterdir():
        for address in re.findall(r"https?://([^\s/'\"`)]+)", file.read_text(encoding="utf-8")):
            assert address == "www.w3.org" or "\\" in address or "[" in address, (
                file.name,
                address,
            )


def test_every_file_of_the_page_can_be_read_by_people() -> None:
    for file in PAGE.iterdir():
        lines = file.read_text(encoding="utf-8").splitlines()
        assert max(map(len, lines)) < 120, file.name
        assert len(lines) < 420, file.name


@on_bench
async def test_headless_browsers_get_no_scripts(bench: Bench) -> None:
    agent = {"User-Agent": "Mozilla/5.0 HeadlessChrome/156.0.0.0 Safari/537.36"}

    async with bench.client.get("/", headers=agent) as answer:
        html = await answer.text()

    assert "update your browser" in html
    assert "<script" not in html


@on_bench
async def test_a_stuck_page_has_the_loader_and_nothing_more(bench: Bench) -> None:
    await bench.control("config", boot="stuck")

    async with bench.client.get("/") as answer:
        html = await answer.text()

    assert html.count("<script") == 1


@on_bench
async def test_qr_codes_are_drawn_here(bench: Bench) -> None:
    async with bench.client.get("/qr.svg", params={"text": "2@abc,d,e,f"}) as answer:
        image, kind = await answer.text(), answer.content_type
    async with bench.client.get("/qr.svg") as empty:
        refused = empty.status

    assert kind == "image/svg+xml"
    assert "<svg" in image
    assert refused == 400


@on_bench
async def test_files_outside_the_page_are_not_served(bench: Bench) -> None:
    for name in ("server.py", "..%2Fserver.py", "index.html"):
        async with bench.client.get(f"/rsrc/x/{name}") as answer:
            assert answer.status == 404
