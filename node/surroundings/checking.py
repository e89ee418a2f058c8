"""Everything that can be checked about a home from outside its daemon, whether that runs or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ledger.errors import HomeLocked, InvalidConfig, InvalidGenesis, TidegateError
from node.clock import wall_ms
from node.config import Config, load_config
from node.devnet import ask_status
from node.home import Home, lock_holder
from node.keyfile import PassphraseMissing, PassphraseSource, environment_passphrase
from node.layout import HomeLayout
from node.surroundings.certificate_checks import check_own, check_told
from node.surroundings.finding import Finding, error, ok, warning, worst_first
from node.surroundings.peer_checks import check_clock, check_clock_told, check_peers, check_peers_told
from node.surroundings.peer_probe import clock_offset, probe_peers
from node.surroundings.place_checks import check_disk, check_exposure, check_permissions, check_ports

STATUS_S: Final = 5.0


async def check_home(
    home: Path,
    *,
    peers: bool = True,
    passphrase: PassphraseSource = environment_passphrase,
    environment: bool = True,
) -> list[Finding]:
    """Everything that is found about the home, the worst first.

    Args:
        home: the directory.
        peers: whether peers may be dialled; without, they and the clock are checked of a running node only.
        passphrase: opens sealed key files.
        environment: whether ``TIDEGATE_*`` holds for this home; not for the second home of a fusion node.
    """
    layout = HomeLayout(home)
    try:
        config = load_config(layout.config_file, environment=environment)
    except InvalidConfig as failure:
        code = "home.missing" if failure.code == "home_missing" else "config.invalid"
        return [error(code, failure.message, "correct config.toml; docs/operator.md lists every key")]
    findings = [ok("config.valid", f"{layout.config_file} is in order")]
    status = await _status(layout, config)
    running = status is not None or _is_locked(layout)
    if running and status is None:
        findings.append(
            warning(
                "daemon.silent",
                "a process uses this home and does not answer on its socket",
                "it may be starting; otherwise look at its log, or run tidegate doctor",
            )
        )
    findings += check_permissions(layout)
    findings += check_disk(layout, config)
    findings += check_exposure(config, layout)
    ports = check_ports(config, layout, running=running)
    # A daemon that is starting has locked its home, and listens later.
    findings += [one for one in ports if status is not None or one.code not in ("port.silent", "socket.gone")]
    opened, trouble = _open(layout, passphrase, environment=environment)
    findings += trouble
    if status is not None:
        findings += _check_running(status, config)
    elif opened is not None and not running:
        findings += await _check_resting(opened, peers=peers)
    findings += await _check_second(layout, config, peers=peers, passphrase=passphrase)
    return worst_first(findings)


async def _status(layout: HomeLayout, config: Config) -> dict[str, Any] | None:
    try:
        socket = layout.socket(config.rpc.socket)
    except InvalidConfig:
        return None
    return await ask_status(socket, STATUS_S) if socket.exists() else None


def _is_locked(layout: HomeLayout) -> bool:
    if not layout.lock_file.exists() or not os.access(layout.lock_file, os.R_OK | os.W_OK):
        return False
    return lock_holder(layout) is not None


def _open(layout: HomeLayout, passphrase: PassphraseSource, *, environment: bool) -> tuple[Home | None, list[Finding]]:
    """The home without its lock, and what was found about genesis and keys on the way."""
    try:
        opened = Home.open(layout.path, lock=False, environment=environment, passphrase=passphrase)
    except InvalidGenesis as failure:
        remedy = "put the chain's file back, the one that every member has (tidegate network show says its hash)"
        return None, [error(f"genesis.{failure.code}", failure.message, remedy)]
    except PassphraseMissing as failure:
        words = f"{failure.message}: keys, certificates and peers are not checked"
        return None, [warning("keys.sealed", words, "set TIDEGATE_PASSPHRASE_FILE for this check")]
    except HomeLocked as failure:
        return None, [warning("daemon.silent", failure.message, "wait, or look at its log")]
    except TidegateError as failure:
        return None, [
            error(f"keys.{failure.code}", failure.message, "docs/operator.md, A home, says what belongs there")
        ]
    findings = [ok("keys.valid", "the keys can be read, by their owner only")]
    words = f"genesis of {opened.genesis.name}, hash {opened.genesis.hash.hex()}"
    if opened.config.chain.genesis_hash:
        findings.append(ok("genesis.pinned", words))
    else:
        remedy = f'write it under [chain] in config.toml: genesis_hash = "{opened.genesis.hash.hex()}"'
        findings.append(warning("genesis.unpinned", f"{words}: config.toml does not say that hash", remedy))
    return opened, findings


def _check_running(status: dict[str, Any], config: Config) -> Iterator[Finding]:
    height = (status.get("chain") or {}).get("height")
    yield ok("daemon.running", f"the node runs, at height {height}", height=height)
    yield from check_told(status)
    yield from check_peers_told(status, config)
    yield from check_clock_told(status)


async def _check_resting(home: Home, *, peers: bool) -> list[Finding]:
    findings = [ok("daemon.resting", "the node does not run")]
    findings += check_own(home.layout, home.config, home.genesis, home.keys)
    if home.config.services.authority.enabled:
        findings += _check_authority(home)
    alone = len(home.genesis.validators) == 1 and home.keys.validator.public in home.genesis.registered().keys
    if not home.config.p2p.peers:
        if not alone:
            findings.append(
                error(
                    "peers.none",
                    "no peer is configured: the node would find nobody",
                    "list the other nodes under p2p.peers; tidegate network join does it",
                )
            )
        return findings
    if not peers:
        return findings
    try:
        seen = await probe_peers(home)
    except TidegateError as failure:
        return [
            *findings,
            error("peers.unprobed", f"the overlay does not start: {failure.message}", "look at the ports"),
        ]
    findings += check_peers(seen, needed=not alone and (home.data_dir / "chain").exists())
    findings += check_clock(clock_offset(seen), home.genesis.parameters.clock_tolerance_ms, home, wall_ms())
    return findings


def _check_authority(home: Home) -> Iterator[Finding]:
    try:
        keys = home.authority_keys()
    except TidegateError as failure:
        yield error(f"keys.{failure.code}", failure.message, "docs/operator.md, Authorities, says what belongs there")
        return
    yield ok(
        "keys.authority", f"the authority opens documents of epochs {', '.join(str(k.epoch) for k in keys.sealing)}"
    )


async def _check_second(
    layout: HomeLayout, config: Config, *, peers: bool, passphrase: PassphraseSource
) -> list[Finding]:
    """The home of the supervision chain of a fusion node; what is found there says so."""
    if not config.fusion.supervision_home:
        return []
    # Without the way back in it, as the daemon takes it.
    other = Path(os.path.normpath(layout.path / config.fusion.supervision_home))  # noqa: ASYNC240 - only text
    if other == layout.path:
        return [error("fusion.same", "fusion.supervision_home is this home itself", "name the other chain's home")]
    found = await check_home(other, peers=peers, passphrase=passphrase, environment=False)
    return [
        Finding(one.code, one.severity, f"supervision chain: {one.words}", one.remedy, {**one.data, "home": str(other)})
        for one in found
    ]
