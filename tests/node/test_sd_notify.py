"""What the service manager hears: over a path, over an abstract name, and nothing where nobody listens."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.sd_notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    address = str(tmp_path / "s") if request.param == "path" else "@tidegate-" + secrets.token_hex(8)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0") if request.param == "abstract" else address)
        listening.settimeout(10)
        yield listening, address


def test_the_manager_hears_each_step_of_a_daemons_life(manager) -> None:
    listening, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert notifier.ready("height 3")
    assert listening.recv(4096).decode().splitlines() == ["READY=1", "STATUS=height 3"]
    assert notifier.watchdog()
    assert listening.recv(4096) == b"WATCHDOG=1"
    assert notifier.reloading()
    reloading, usec = listening.recv(4096).decode().splitlines()
    assert reloading == "RELOADING=1"
    assert usec.startswith("MONOTONIC_USEC=")
    assert notifier.stopping("two\nlines")
    assert listening.recv(4096) == b"STOPPING=1\nSTATUS=two lines"
    assert notifier.extend(2.5)
    assert listening.recv(4096) == b"EXTEND_TIMEOUT_USEC=2500000"


def test_no_child_can_speak_in_our_name_when_the_daemon_has_begun(manager) -> None:
    environment = {"NOTIFY_SOCKET": manager[1], "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "X": "1"}
    notifier = Notifier(environment)
    assert notifier.enabled
    assert notifier.watchdog_s == 30.0
    assert environment == {"X": "1"}


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "-5"}, {"WATCHDOG_USEC": "x"},
     {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid() + 1)}],
)  # fmt: skip
def test_nobody_is_fed_when_the_watchdog_is_not_ours(manager, watchdog: dict[str, str]) -> None:
    assert Notifier({"NOTIFY_SOCKET": manager[1], **watchdog}).watchdog_s is None


@pytest.mark.parametrize("address", ["", "@", "relative/path", "vsock:2:1234"])
def test_nothing_is_said_when_nobody_listens(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    assert not notifier.enabled
    assert notifier.watchdog_s is None
    assert not notifier.ready()


def test_the_daemon_goes_on_when_the_manager_is_gone(tmp_path: Path) -> None:
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
