"""Supervision of daemons: real ones where it matters that they work, stand-ins where it matters that they do not."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

import node.devnet
from ledger.errors import NotFound
from node.devnet import Devnet, NodeFailed
from node.network import NetworkPlan, create_network
from node.process import ProcessRef

# Starts a devnet, prints the process id of its node, and waits to be killed.
CALLER = """
import asyncio, sys
from node.devnet import Devnet
async def main():
    async with Devnet(sys.argv[1]) as devnet:
        await devnet.start()
        print(devnet.pid("node0"), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
STUBBORN = "trap '' TERM; echo standing; while :; do sleep 0.05; done"


@pytest.fixture
def directory(tmp_path):
    create_network(NetworkPlan(directory=tmp_path / "n", validators=2))
    return tmp_path / "n"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Makes nodes run a shell script instead of the daemon."""

    def use(script):
        program = tmp_path / "stand-in"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return use


async def ended(pid):
    process = ProcessRef.of(pid)
    return process is None or await process.wait_ended(15)


async def printed(devnet, name, word):
    async with asyncio.timeout(10):
        while word not in devnet.log_tail(name):
            await asyncio.sleep(0.01)


async def test_nodes_start_answer_die_and_start_again(directory):
    async with Devnet(directory) as devnet:
        assert await devnet.start() == ["node0", "node1"]
        await devnet.wait_ready(peers=1)
        states = await devnet.status()
        assert [state.status["organisation"] for state in states] == ["Platform B", "Insurer C"]
        first = devnet.pid("Insurer C")
        assert await devnet.start() == []
        await devnet.kill("node1")
        assert devnet.pid("node1") is None
        assert [state.pid is None for state in await devnet.status()] == [False, True]
        await devnet.start_one("node1")
        assert devnet.pid("node1") not in (None, first)
        pids = [devnet.pid("node0"), devnet.pid("node1")]
    assert [ProcessRef.of(pid) for pid in pids] == [None, None]
    assert not list(directory.glob("node*/run/node.pid"))


async def test_detached_nodes_outlive_their_starter_and_another_stops_them(directory):
    async with Devnet(directory, detach=True) as starter:
        await starter.start(["node0"])
        await starter.wait_ready(["node0"])
        pid = starter.pid("node0")
    other = Devnet(directory, detach=True)
    assert other.pid("node0") == pid
    await other.stop()
    assert other.pid("node0") is None
    assert await ended(pid)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_is_left_running_when_the_caller_is_killed(directory, signum):
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        pid = int(await asyncio.to_thread(caller.stdout.readline))
        caller.send_signal(signum)
        assert await ended(pid)
        await asyncio.to_thread(caller.wait, 15)
    finally:
        caller.kill()
        caller.communicate()


async def test_nothing_is_left_running_when_the_block_raises(directory, stand_in):
    stand_in("exec sleep 60")
    pids = []

    async def fail():
        async with Devnet(directory) as devnet:
            await devnet.start()
            pids.extend(devnet.pid(name) for name in ("node0", "node1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert all(pids)
    assert [ProcessRef.of(pid) for pid in pids] == [None, None]


async def test_failed_start_shows_exit_code_and_end_of_log(directory, stand_in):
    stand_in("echo from an earlier run; exit 3")
    async with Devnet(directory) as devnet:
        with pytest.raises(NodeFailed, match="earlier"):
            await devnet.start_one("node0")
        stand_in("echo one; echo the reason >&2; exit 78")
        with pytest.raises(NodeFailed, match="the reason") as caught:
            await devnet.start_one("node0")
    assert caught.value.data == {"node": "node0", "exit_code": 78}
    assert "node0 (Platform B) ended with exit code 78" in caught.value.message
    assert "earlier" not in caught.value.message


async def test_node_that_never_answers_fails_at_the_deadline(directory, stand_in):
    stand_in("echo thinking; exec sleep 60")
    async with Devnet(directory) as devnet:
        await devnet.start(["node0"])
        await printed(devnet, "node0", "thinking")
        with pytest.raises(NodeFailed, match="does not answer in time") as caught:
            await devnet.wait_ready(["node0"], timeout_s=0.2)
        assert caught.value.data["exit_code"] is None
        assert "thinking" in caught.value.message


async def test_node_that_was_not_started_is_not_waited_for(directory):
    with pytest.raises(NodeFailed, match="does not run"):
        await Devnet(directory).wait_ready(["node0"], timeout_s=30)


async def test_node_that_ignores_the_request_to_stop_is_killed(directory, stand_in, monkeypatch):
    monkeypatch.setattr(node.devnet, "STOP_S", 0.2)
    stand_in(STUBBORN)
    async with Devnet(directory) as devnet:
        await devnet.start(["node0"])
        await printed(devnet, "node0", "standing")
        pid = devnet.pid("node0")
        await devnet.stop(["node0"])
        assert ProcessRef.of(pid) is None


async def test_stopped_process_takes_the_request_to_stop(directory, stand_in):
    stand_in("trap 'exit 0' TERM; echo standing; while :; do sleep 0.05; done")
    async with Devnet(directory) as devnet:
        await devnet.start(["node0"])
        await printed(devnet, "node0", "standing")
        assert devnet.signal("node0", signal.SIGSTOP)
        started = asyncio.get_running_loop().time()
        await devnet.stop(["node0"])
        assert asyncio.get_running_loop().time() - started < node.devnet.STOP_S


async def test_foreign_process_of_a_stale_file_is_never_signalled(directory):
    devnet = Devnet(directory, detach=True)
    file = directory / "node0" / "run" / "node.pid"
    file.write_text(json.dumps({"pid": os.getpid(), "started": "1"}))
    assert devnet.pid("node0") is None
    assert not devnet.signal("node0", signal.SIGTERM)
    await devnet.stop()
    await devnet.kill("node0")


async def test_environment_reaches_the_nodes(directory, stand_in):
    stand_in('echo "level $TIDEGATE_LOG__LEVEL"; exec sleep 60')
    async with Devnet(directory, environment={"TIDEGATE_LOG__LEVEL": "debug"}) as devnet:
        await devnet.start(["node1"])
        await printed(devnet, "node1", "level debug")


async def test_unknown_node_is_named(directory):
    devnet = Devnet(directory)
    with pytest.raises(NotFound, match="node9"):
        await devnet.start(["node9"])
    with pytest.raises(NotFound, match="node9"):
        await devnet.kill("node9")
