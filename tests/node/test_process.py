"""Processes are named by id and start time: nothing else is ever taken for them."""

import json
import os
import signal
import subprocess
import sys

import pytest

from node.process import ProcessRef, load_process

WAITER = "import sys; sys.stdin.read()"


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", WAITER], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_own_process_is_alive():
    own = ProcessRef.of(os.getpid())
    assert own is not None
    assert own.alive()
    assert own == ProcessRef.of(os.getpid())


def test_unused_id_names_nothing(child):
    child.kill()
    child.wait()
    assert ProcessRef.of(child.pid) is None


def test_ended_child_that_is_not_reaped_counts_as_gone(child):
    process = ProcessRef.of(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive()
    assert ProcessRef.of(child.pid) is None
    assert not process.send(signal.SIGTERM)


def test_process_with_another_start_is_never_signalled(child):
    impostor = ProcessRef(child.pid, "1")
    assert not impostor.alive()
    assert not impostor.send(signal.SIGKILL)
    assert child.poll() is None


def test_signal_reaches_the_process(child):
    assert ProcessRef.of(child.pid).send(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM


def test_saved_process_is_found_while_it_runs(child, tmp_path):
    process = ProcessRef.of(child.pid)
    process.save(tmp_path / "pid")
    assert load_process(tmp_path / "pid") == process
    child.kill()
    child.wait()
    assert load_process(tmp_path / "pid") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"pid": 1}', '{"pid": "x", "started": "1"}', '{"pid": -1, "started": "1"}']
)
def test_damaged_file_names_nothing(tmp_path, text):
    (tmp_path / "pid").write_text(text)
    assert load_process(tmp_path / "pid") is None


def test_stale_file_with_a_reused_id_names_nothing(tmp_path):
    (tmp_path / "pid").write_text(json.dumps({"pid": os.getpid(), "started": "1"}))
    assert load_process(tmp_path / "pid") is None


async def test_waiting_ends_with_the_process_and_not_before(child):
    process = ProcessRef.of(child.pid)
    assert not await process.wait_ended(0.01)
    process.send(signal.SIGKILL)
    assert await process.wait_ended(10)
    child.wait()
    assert await process.wait_ended(10)


async def test_waiting_works_without_process_descriptors(child, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    process = ProcessRef.of(child.pid)
    assert not await process.wait_ended(0.01)
    assert process.send(signal.SIGKILL)
    assert await process.wait_ended(10)
