"""A home without a daemon: what its files show, how its last daemon ended, and that nothing in it is changed."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from node.cli.exit_codes import DISK_FULL, INTERNAL, INTERRUPTED, OK
from node.doctor.catalogue import causes_first
from node.doctor.examine import examine
from node.doctor.stopped import examine_stopped
from node.layout import HomeLayout
from node.network import NetworkPlan, create_network
from node.run_state import FILE, RunStateFile


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_network(NetworkPlan(directory=tmp_path_factory.mktemp("n") / "n", validators=1)).nodes[0].home


@pytest.fixture
def layout(template: Path, tmp_path: Path) -> HomeLayout:
    shutil.copytree(template, tmp_path / "home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "home" / "config.toml"
    lines = config.read_text(encoding="utf-8").splitlines()
    text = "\n".join(f"listen_port = {port}" if line.startswith("listen_port") else line for line in lines)
    config.write_text(text + "\n", encoding="utf-8")
    found = HomeLayout(tmp_path / "home")
    found.make_directories()
    return found


def codes(layout: HomeLayout) -> list[str]:
    return [finding.code for finding in causes_first(examine_stopped(layout).findings)]


def end(layout: HomeLayout, exit_code: int, code: str = "", why: str = "") -> None:
    """A daemon of another process has ended so."""
    life = RunStateFile(layout.run_dir)
    life.enter("ended", exit_code=exit_code, code=code, why=why)
    kill(layout, stage="ended")


def kill(layout: HomeLayout, stage: str = "serving") -> None:
    """As if the daemon had been another process, which is gone."""
    file = layout.run_dir / FILE
    if not file.exists():
        RunStateFile(layout.run_dir).enter("serving")
    document = json.loads(file.read_bytes())
    file.write_text(json.dumps({**document, "stage": stage, "started": "0"}), encoding="utf-8")


def test_a_home_that_never_ran_waits_to_be_started(layout: HomeLayout) -> None:
    assert codes(layout) == ["daemon.stopped"]


@pytest.mark.parametrize("exit_code", [OK, INTERRUPTED])
def test_one_that_was_stopped_is_to_be_started(layout: HomeLayout, exit_code: int) -> None:
    end(layout, exit_code)
    assert codes(layout) == ["daemon.stopped"]


def test_one_that_said_nothing_was_killed(layout: HomeLayout) -> None:
    kill(layout)
    assert codes(layout) == ["daemon.killed"]


def test_one_that_failed_is_quoted_with_its_code_and_the_grave_lines_of_its_log(layout: HomeLayout) -> None:
    end(layout, INTERNAL, "broken_invariant", "a quorum decided what we refuse")
    lines = [{"event": f"noise{n}", "level": "info"} for n in range(50)]
    lines.insert(3, {"event": "node_failed", "level": "critical", "why": "so"})
    layout.log_dir.joinpath("node.log").write_text("\n".join(json.dumps(line) for line in lines) + "\nhalf a li")
    report = examine_stopped(layout)
    (finding,) = report.findings
    assert finding.code == "daemon.failed"
    assert "exit code 70" in finding.words
    assert "a quorum decided what we refuse [broken_invariant]" in finding.words
    assert len(report.log_tail) == 1
    assert "critical node_failed why=so" in report.log_tail[0]


def test_one_that_had_no_room_may_start_again_when_there_is_room(layout: HomeLayout) -> None:
    end(layout, DISK_FULL, "disk_full", "full")
    assert codes(layout) == ["daemon.stopped"]


def test_a_full_disk_comes_before_the_exit_code_that_it_made(layout: HomeLayout) -> None:
    end(layout, DISK_FULL, "disk_full", "full")
    config = layout.config_file.read_text(encoding="utf-8")
    layout.config_file.write_text(f"{config}\n[storage]\nmin_free_bytes = {1 << 40}\n", encoding="utf-8")
    assert codes(layout) == ["disk.full", "daemon.failed"]


def test_a_taken_port_is_named(layout: HomeLayout) -> None:
    port = int(next(line for line in layout.config_file.read_text().splitlines() if "listen_port" in line).split()[-1])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert codes(layout) == ["port.taken", "daemon.stopped"]


def _wrong_host(layout: HomeLayout) -> None:
    text = layout.config_file.read_text(encoding="utf-8")
    layout.config_file.write_text(text.replace('listen_host = "127.0.0.1"', 'listen_host = "192.0.2.77"'))


def _long_socket(layout: HomeLayout) -> None:
    text = layout.config_file.read_text(encoding="utf-8")
    layout.config_file.write_text(f'{text}\n[rpc]\nsocket = "/{"x" * 150}"\n')


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda layout: layout.config_file.write_text("not toml"), "config.invalid"),
        (_wrong_host, "config.invalid"),
        (_long_socket, "config.invalid"),
        (lambda layout: layout.config_file.unlink(), "home.missing"),
        (lambda layout: layout.genesis_file.write_text("{}"), "genesis.wrong"),
        (lambda layout: layout.genesis_file.unlink(), "genesis.missing"),
        (lambda layout: layout.keys_dir.chmod(0o755), "keys.unusable"),
        (lambda layout: layout.key_file("transport").unlink(), "keys.unusable"),
        (lambda layout: layout.key_file("member").write_text("{"), "keys.unusable"),
    ],
)
def test_what_a_daemon_would_refuse_comes_first(
    layout: HomeLayout, spoil: Callable[[HomeLayout], object], code: str
) -> None:
    spoil(layout)
    assert codes(layout)[0] == code


def test_a_damaged_signer_log_is_told_and_the_end_of_a_crash_is_not(layout: HomeLayout) -> None:
    from node.signer_log import FILE_NAME, SignerLog

    log = SignerLog(layout.wal_dir)
    for number in range(20):
        log.append([b"record %d" % number])
        log.sync()
    log.close()
    file = layout.wal_dir / FILE_NAME
    whole = file.read_bytes()
    file.write_bytes(whole + b"torn")
    assert codes(layout) == ["daemon.stopped"]
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    assert codes(layout) == ["daemon.stopped", "signer.damaged"]
    assert file.read_bytes() == damaged


async def test_a_process_that_does_not_answer_hangs(layout: HomeLayout) -> None:
    RunStateFile(layout.run_dir).enter("serving")  # of this very process, which has no socket there
    examined = await examine(layout.path)
    assert (examined.state, [finding.code for finding in examined.findings]) == ("silent", ["daemon.hangs"])
    RunStateFile(layout.run_dir).enter("starting")
    examined = await examine(layout.path)
    assert [finding.code for finding in examined.findings] == ["daemon.starting"]


def test_nothing_is_changed_by_looking(layout: HomeLayout) -> None:
    def content() -> dict[str, tuple[int, bytes]]:
        files = [file for file in layout.path.rglob("*") if file.is_file()]
        return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}

    before = content()
    examine_stopped(layout)
    assert content() == before
