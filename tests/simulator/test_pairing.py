"""Codes, scans, linked devices and what ends them."""

from __future__ import annotations

from pathlib import Path

from tests.simulator.page_socket import ANA, ME, Bench, on_bench


@on_bench(ref_ttl=0.05, refs=3)
async def test_codes_rotate_then_the_page_is_idle_until_it_asks_again(bench: Bench) -> None:
    page = await bench.connect()

    refs = [(await page.next("ref"))["ref"] for _ in range(3)]
    await page.next("idle")
    status, refused = await bench.ask("scan", phone=ME, ref=refs[-1])
    await page.send(type="refresh_qr")
    fresh = (await page.next("ref"))["ref"]

    assert len({*refs, fresh}) == 4
    assert status == 409
    assert refused["error"].startswith("ref:")


@on_bench
async def test_a_scan_takes_the_whole_text_of_a_code(bench: Bench) -> None:
    page = await bench.connect()
    ref = (await page.next("ref"))["ref"]

    await bench.control("scan", phone="+33 6 39 98 00 01", ref=f"{ref},noise,identity,adv,1")
    paired = await page.next("pair")

    assert paired["me"]["pn"] == f"{ME}:7@c.us"
    assert (await bench.control("state"))["waiting"] == []


@on_bench
async def test_a_scan_without_a_ref_takes_the_newest_code(bench: Bench) -> None:
    older, newer = await bench.connect(), await bench.connect()
    await older.next("ref")
    await newer.next("ref")

    await bench.control("scan", phone=ME)

    assert await newer.next("pair")


@on_bench
async def test_a_page_that_leaves_takes_its_code_with_it(bench: Bench) -> None:
    page = await bench.connect()
    await page.next("ref")

    await page.socket.close()

    await bench.until(lambda state: state["refs"] == [])
    assert (await bench.ask("scan", phone=ME))[0] == 409


@on_bench
async def test_a_linked_device_comes_back_with_its_token(bench: Bench) -> None:
    page = await bench.linked()
    await page.socket.close()

    again = await bench.connect(page.token)

    assert (await again.next("success"))["me"]["pn"] == f"{ME}:7@c.us"


@on_bench
async def test_an_unknown_token_is_logged_out(bench: Bench) -> None:
    page = await bench.connect("0123456789abcdef")

    assert (await page.next("logged_out"))["reason"] == "unknown_companion"


@on_bench
async def test_a_second_socket_with_the_same_token_puts_the_first_in_conflict(bench: Bench) -> None:
    first = await bench.linked()

    second = await bench.resumed(first.token)
    await first.next("conflict")
    await first.closed()
    sent = await second.message(ANA)

    assert "t" in sent


@on_bench
async def test_a_logged_out_device_is_told_and_its_token_is_worth_nothing(bench: Bench) -> None:
    page = await bench.linked()

    await bench.control("logout", account=ME, reason="account_locked")

    assert (await page.next("logged_out"))["reason"] == "account_locked"
    assert (await bench.control("state"))["devices"] == []
    assert await (await bench.connect(page.token)).next("logged_out")


@on_bench
async def test_a_device_logged_out_while_away_learns_it_when_it_returns(bench: Bench) -> None:
    page = await bench.linked()
    await page.socket.close()
    await bench.until(lambda state: not state["devices"][0]["online"])

    await bench.control("logout")

    assert await (await bench.connect(page.token)).next("logged_out")


@on_bench
async def test_a_page_that_logs_itself_out_is_unlinked(bench: Bench) -> None:
    page = await bench.linked()

    await page.call("unpair", reason="user_initiated")

    assert (await bench.control("state"))["devices"] == []


def test_linked_devices_outlive_the_simulator_with_a_state_file(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    tokens: list[str | None] = []

    @on_bench(state_file=file)
    async def before(bench: Bench) -> None:
        await bench.control("directory", users=[{"phone": ANA, "lid": "100000000000777@lid"}])
        group = {"id": "120363000000000001@g.us", "subject": "G", "participants": [ANA]}
        tokens.append((await bench.linked(name="Camille", groups=[group])).token)

    @on_bench(state_file=file)
    async def after(bench: Bench) -> None:
        page = await bench.connect(tokens[0])
        welcome = await page.next("success")
        assert welcome["me"]["pushname"] == "Camille"
        assert welcome["groups"][0]["subject"] == "G"
        assert bench.simulator.world.directory.lid(ANA) == "100000000000777@lid"

    before()
    after()

    assert file.stat().st_mode & 0o077 == 0
