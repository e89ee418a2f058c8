"""Makes two clients from a live node's ``rpc.discover`` with tools that are not ours, and lets them play the example.

Each signs in its own language what ``tx.prepare`` gives, over HTTP on TCP with a token. Then
``@open-rpc/test-coverage`` calls every method of the document. The tools are pinned by the lock files beside this one;
they and what they make stand in ``clients/.work``, which git ignores.

    scripts/clients            everything; prints JSON
    scripts/clients --install  only the tools
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, Final

from ledger.genesis import Parameters
from node.demo.stage import CASH_B, CASH_C, CURRENCY, EXAMPLE_LINE, INSURER, PLATFORM, account_names, accounts, assets
from node.devnet import Devnet
from node.layout import HomeLayout
from node.network import NetworkPlan, create_network, free_ports
from node.network_file import Network
from node.node_keys import read_member_key
from node.rpc.method import Scope
from node.rpc.tokens import new_token

HERE: Final = Path(__file__).resolve().parent
WORK: Final = Path(os.environ.get("TIDEGATE_CLIENTS_WORK") or HERE / ".work")
INSTALL_S: Final = 240
TOOL_S: Final = 120
SALES: Final = (("C00100001", 300_000, 9_000), ("C00100002", 400_000, 12_000), ("C00100003", 200_000, 6_000))
"""(policy, premium, commission) of PROTOCOL.md 1.4, in minor units."""


class ToolFailed(Exception):
    """A tool is missing or did not do its work; the text has its last words."""


def run(command: list[str | Path], directory: Path, *, seconds: float = TOOL_S, given: str = "") -> str:
    """Output of a command.

    Raises:
        ToolFailed: missing, failed, or too slow.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, cwd=directory, input=given, capture_output=True, text=True, timeout=seconds, check=False
        )
    except FileNotFoundError as error:
        raise ToolFailed(f"{name} is not found; install Node.js 20 with npm, and Python 3.11") from error
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(f"{' '.join(map(str, command[:3]))} took longer than {seconds:g} s") from error
    if done.returncode:
        raise ToolFailed(f"{' '.join(map(str, command[:4]))} failed:\n{done.stdout[-4_000:]}\n{done.stderr[-4_000:]}")
    return done.stdout


def install() -> None:
    """The tools of the lock files, once for each state of these."""
    locks = [HERE / "package-lock.json", HERE / "python" / "requirements.lock"]
    stamp = WORK / f"installed-{sha256(b''.join(lock.read_bytes() for lock in locks)).hexdigest()[:16]}"
    if stamp.exists():
        return
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, WORK)
    npm: list[str | Path] = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    run(npm, WORK, seconds=INSTALL_S)
    run([sys.executable, "-m", "venv", "venv"], WORK)
    pip: list[str | Path] = [WORK / "venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--no-deps", "--require-hashes", "-r", locks[1]], WORK, seconds=INSTALL_S)
    stamp.touch()


# --- the network ------------------------------------------------------------------------------------------------------


def make_network(directory: Path) -> tuple[Network, str]:
    """A network of platform and insurer whose first node serves TCP, and an admin's token for that."""
    plan = NetworkPlan(
        directory=directory,
        validators=2,
        organisations=(PLATFORM, INSURER),
        assets=assets(),
        accounts=accounts(),
        services={},
        parameters=Parameters(empty_block_ms=1_000, base_timeout_ms=500, checkpoint_interval=4),
    )
    network = create_network(plan)
    node = network.nodes[0]
    (port,) = free_ports(1, [other.port for other in network.nodes])
    config = node.home / "config.toml"
    text = config.read_text(encoding="utf-8")
    head, _, rest = text.partition('listen = ""')
    assert rest, "config.toml has no empty rpc.listen any more"
    config.write_text(f'{head}listen = "127.0.0.1:{port}"{rest}', encoding="utf-8")
    return network, f"127.0.0.1:{port}"


def ask(address: str, token: str, method: str, **params: Any) -> Any:
    """Result of one call over TCP."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://{address}/", body, headers)
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
        answer = json.load(reply)
    if "error" in answer:
        raise ToolFailed(f"{method}: {answer['error']}")
    return answer["result"]


def orders_of(network: Network, address: str, token: str, agreement: str) -> dict[str, Any]:
    """What a client is told: where the node is, whose keys it holds, what to agree on and to sell."""
    host, _, port = address.partition(":")
    pending, settled, clawback = account_names(EXAMPLE_LINE)
    sides = {}
    for side, node, cash in (("platform", network.nodes[0], CASH_B), ("insurer", network.nodes[1], CASH_C)):
        seed = read_member_key(HomeLayout(node.home)).seed.hex()
        sides[side] = {"organisation": node.organisation, "seed": seed, "cash": cash}
    return {
        "host": host,
        "port": int(port),
        "token": token,
        "agreement": agreement,
        **sides,
        "currency": CURRENCY,
        "pending": pending,
        "settled": settled,
        "clawback": clawback,
        "sales": [{"policy": policy, "premium": premium, "commission": paid} for policy, premium, paid in SALES],
    }


# --- the clients ------------------------------------------------------------------------------------------------------


def make_typescript(document: dict[str, Any]) -> list[str | Path]:
    """Command that runs the client of ``@open-rpc/generator``, compiled in strict mode."""
    place = WORK / "typescript"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "openrpc.json").write_text(json.dumps(document), encoding="utf-8")
    component = {"type": "client", "name": "tidegate", "language": "typescript"}
    config = {"openrpcDocument": "openrpc.json", "outDir": "generated", "components": [component]}
    (place / "generator.json").write_text(json.dumps(config), encoding="utf-8")
    modules = WORK / "node_modules"
    run(["node", modules / ".bin/open-rpc-generator", "generate", "-c", "generator.json"], place)
    for name in ("commission.ts", "tsconfig.json"):
        shutil.copy(HERE / "typescript" / name, place)
    run(["node", modules / "typescript/bin/tsc", "-p", "."], place)
    return ["node", place / "build/commission.js"]


def make_python(document: dict[str, Any]) -> list[str | Path]:
    """Command that runs the client of ``openrpcclientgenerator``."""
    place = WORK / "python"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "openrpc.json").write_text(json.dumps(document), encoding="utf-8")
    run([WORK / "venv/bin/orpc", "python", document["servers"][0]["url"]], place)
    (package,) = (place / "out" / "python").glob("*/*_client")
    shutil.copytree(package, place / package.name)
    shutil.copy(HERE / "python" / "commission.py", place)
    return [WORK / "venv/bin/python", place / "commission.py"]


def cover(document: dict[str, Any], token: str) -> dict[str, Any]:
    """What ``@open-rpc/test-coverage`` found."""
    place = WORK / "coverage"
    place.mkdir(exist_ok=True)
    (place / "openrpc.json").write_text(json.dumps(document), encoding="utf-8")
    shutil.copy(HERE / "coverage.mjs", WORK)
    command: list[str | Path] = ["node", "--experimental-websocket", "--no-warnings", WORK / "coverage.mjs"]
    found: dict[str, Any] = json.loads(run([*command, place / "openrpc.json", token], WORK))
    if found["failed"]:
        raise ToolFailed(f"test-coverage: {json.dumps(found['failed'], indent=2)[:8_000]}")
    return found


async def play(directory: Path) -> dict[str, Any]:
    """Everything on one network; figures by client."""
    network, address = make_network(directory / "n")
    tokens = network.nodes[0].home / "keys" / "rpc-tokens.json"
    token, auditor = (new_token(tokens, scope.word, scope) for scope in (Scope.SUBMIT, Scope.ADMIN))
    found: dict[str, Any] = {}
    async with Devnet(network.directory) as devnet:
        await devnet.start()
        await devnet.wait_ready(peers=1, timeout_s=120)
        makers = {"typescript": (make_typescript, True), "python": (make_python, False)}
        for name, (make, identifiers) in makers.items():
            since = monotonic()
            document = await asyncio.to_thread(ask, address, token, "rpc.discover", identifiers=identifiers)
            document["servers"] = [{"name": "node", "url": f"http://{address}/"}]
            command = await asyncio.to_thread(make, document)
            orders = orders_of(network, address, token, f"{name}-health")
            output = await asyncio.to_thread(run, command, WORK, given=json.dumps(orders))
            found[name] = {**json.loads(output), "seconds": round(monotonic() - since, 1)}
        document = await asyncio.to_thread(ask, address, auditor, "rpc.discover")
        document["servers"] = [{"name": "node", "url": f"http://{address}/"}]
        found["coverage"] = await asyncio.to_thread(cover, document, auditor)
    return found


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--install", action="store_true", help="only install the tools")
    arguments = parser.parse_args()
    try:
        install()
        if not arguments.install:
            with tempfile.TemporaryDirectory(prefix="tg-") as directory:
                print(json.dumps(asyncio.run(play(Path(directory))), indent=2))
    except ToolFailed as error:
        print(f"scripts/clients: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
