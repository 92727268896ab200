"""The simulator as a subprocess, and the Python client."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from whatsapp.simulator.client import DeadlineError, SimulatorControl, SimulatorControlError
from whatsapp.simulator.process import SimulatorFailedError, SimulatorProcess

ME = "33639980001"


def test_it_starts_on_a_free_port_and_ends_without_a_trace() -> None:
    with SimulatorProcess() as one, SimulatorProcess() as two:
        pids = [one.pid, two.pid]
        states = [one.control.state(), two.control.state()]

    assert one.url != two.url
    assert all(state["ok"] for state in states)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_refused_address_is_explained() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "whatsapp.simulator", "--host", "0.0.0.0"],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        cwd=Path(__file__).parents[2],
    )

    assert done.returncode == 2
    assert "--host 0.0.0.0" in done.stderr


def test_a_taken_port_is_an_error_at_start() -> None:
    with SimulatorProcess() as running, pytest.raises(SimulatorFailedError):
        SimulatorProcess(port=running.port).start()


def test_tls_serves_the_pinned_name() -> None:
    with SimulatorProcess("--tls") as simulator:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        address = f"{simulator.url}/"
        with urllib.request.urlopen(address, context=context, timeout=5) as page:  # noqa: S310
            html = page.read().decode()
        state = simulator.control.state()

    assert simulator.url.startswith("https://")
    assert len(simulator.spki or "") == 44
    assert "WhatsApp Web" in html
    assert state["ok"]


def test_the_client_says_what_the_simulator_refused() -> None:
    with SimulatorProcess() as simulator:
        with pytest.raises(SimulatorControlError, match="ref:") as refused:
            simulator.control.scan(ME)
        with pytest.raises(DeadlineError):
            simulator.control.wait_for_messages(1, deadline=0.1)
        settings = simulator.control.config(delivered_after=None, nack=463)
        known = simulator.control.directory(mode="listed", users=[{"phone": ME}])
        totals = simulator.control.totals()

    assert refused.value.status == 409
    assert settings["delivered_after"] is None
    assert settings["nack"]["code"] == 463
    assert known["mode"] == "listed"
    assert totals["messages"] == 0


def test_a_client_of_nobody_says_that_nobody_answers() -> None:
    with SimulatorProcess() as simulator:
        url = simulator.url

    with pytest.raises(SimulatorControlError) as silent:
        SimulatorControl(url).state()

    assert silent.value.status == 0


def test_the_simulator_knows_nothing_of_the_product_or_of_django() -> None:
    own = {"whatsapp", "whatsapp.simulator"}
    script = (
        "import sys, whatsapp.simulator.__main__, whatsapp.simulator.process;"
        "print(*(n for n in sys.modules if n.partition('.')[0] in"
        " ('django', 'whatsapp', 'accounts', 'campaigns', 'relance_project')))"
    )

    listed = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
        cwd=Path(__file__).parents[2],
    ).stdout.split()

    assert own <= set(listed)
    assert all(name in own or name.startswith("whatsapp.simulator.") for name in listed)
