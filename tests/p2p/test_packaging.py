"""The library's version, what its import brings along, and who may import it."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import uvloop

from tests.p2p.overlay_kit import ECHO, Cluster

P2P = Path(__file__).parents[2] / "p2p"
KNOWS_LIBP2P = {"libp2p_host.py", "libp2p_link.py", "libp2p_patches.py", "libp2p_stack.py", "libp2p_transport.py"}
KNOWS_TRIO = {"libp2p_host.py", "libp2p_link.py", "libp2p_patches.py", "libp2p_stack.py", "trio_guest.py"}
# libp2p 0.8.1 installs packages under these names at top level.
STRAY_PACKAGES = {"docs", "examples", "interop", "newsfragments"}


def imports_of(path: Path) -> set[str]:
    """Top-level names that a module imports, lazily or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def modules_after(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_installed_libp2p_is_the_one_that_the_guards_were_written_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from p2p import libp2p_patches

    assert version("libp2p") == libp2p_patches.LIBP2P_VERSION == "0.8.1"
    libp2p_patches.check_version()
    monkeypatch.setattr(libp2p_patches, "LIBP2P_VERSION", "0.8.0")
    with pytest.raises(ImportError, match=r"0\.8\.1 is installed"):
        libp2p_patches.check_version()


def test_private_parts_of_yamux_that_the_guards_touch_are_there() -> None:
    from libp2p.stream_muxer.yamux import yamux

    assert yamux.MAX_WINDOW_SIZE > 0
    muxer_attributes = {"stream_buffers", "streams", "_write_lock", "secured_conn"}
    assert muxer_attributes <= set(yamux.Yamux.__init__.__code__.co_names)
    assert "MAX_WINDOW_SIZE" in yamux.YamuxStream._apply_autotune_epoch.__code__.co_names
    assert "MAX_WINDOW_SIZE" in yamux.Yamux.handle_incoming.__code__.co_names


def test_stray_packages_of_libp2p_are_never_imported() -> None:
    assert not STRAY_PACKAGES & modules_after("import p2p.libp2p_transport")
    for path in P2P.glob("*.py"):
        assert not STRAY_PACKAGES & imports_of(path), path.name


def test_libp2p_and_trio_are_known_only_where_they_must_be() -> None:
    for path in P2P.glob("*.py"):
        assert "libp2p" not in imports_of(path) or path.name in KNOWS_LIBP2P, path.name
        assert "trio" not in imports_of(path) or path.name in KNOWS_TRIO, path.name
        assert not {"node", "consensus", "contracts"} & imports_of(path), path.name


def test_light_modules_do_not_import_libp2p() -> None:
    modules = modules_after("import p2p.identity, p2p.transport, p2p.memory, p2p.gossip")
    assert not {"libp2p", "trio"} & modules


def test_transport_works_on_uvloop() -> None:
    async def scenario() -> None:
        cluster = Cluster("libp2p")
        left, right = await cluster.pair()
        answers = await asyncio.gather(*(left.transport.request(right.peer_id, ECHO, b"%d" % n, 5) for n in range(100)))
        assert answers == [b"%d" % n for n in range(100)]
        await cluster.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    uvloop.run(scenario())
