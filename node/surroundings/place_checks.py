"""Checks of the machine that a home is on: disk, ports, socket, files that others may read."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from ledger.errors import InvalidConfig
from node.config import Config
from node.config_sections import parse_listen
from node.disk_watch import WARN_FACTOR, megabytes
from node.layout import HomeLayout
from node.networks.addresses import is_loopback
from node.surroundings.finding import Finding, error, ok, warning


def check_disk(layout: HomeLayout, config: Config) -> Iterator[Finding]:
    """Room and permission to write, in each directory that the node writes to."""
    reserve = config.storage.min_free_bytes
    seen: set[int] = set()
    for directory in (layout.data_dir, layout.wal_dir, layout.log_dir, layout.run_dir):
        there = next(path for path in (directory, *directory.parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            yield error(
                "disk.unwritable",
                f"{there} cannot be written to by user {os.getuid()}",
                f"give it to the user that runs the node: chown -R USER '{layout.path}'",
                path=str(there),
            )
            continue
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        room = os.statvfs(there)
        free, files = room.f_bavail * room.f_frsize, room.f_favail if room.f_files else None
        data = {"path": str(there), "free_bytes": free, "min_free_bytes": reserve}
        if free < reserve:
            yield error(
                "disk.full",
                f"{megabytes(free)} are free at {there}, less than the reserve of {megabytes(reserve)}",
                "make room or move the home to a larger disk; the node does not start below the reserve",
                **data,
            )
        elif free < WARN_FACTOR * reserve:
            yield warning(
                "disk.scarce",
                f"{megabytes(free)} are free at {there}; the node stops below {megabytes(reserve)}",
                "make room, or prune: tidegate db prune (docs/data.md)",
                **data,
            )
        elif files is not None and files < 1_000:
            yield warning("disk.files", f"{files} files may still be made at {there}", "free some inodes", **data)
        else:
            yield ok("disk.room", f"{megabytes(free)} are free at {there}", **data)


def check_permissions(layout: HomeLayout) -> Iterator[Finding]:
    """Who else can change what the node trusts: its home, its configuration, its genesis."""
    for path in (layout.path, layout.config_file, layout.genesis_file, layout.data_dir, layout.wal_dir):
        try:
            status = path.stat()
        except OSError:
            continue
        if status.st_mode & 0o002:
            yield error(
                "permissions.writable",
                f"everybody on this machine can change {path}",
                f"chmod o-w '{path}'",
                path=str(path),
                mode=f"{status.st_mode & 0o777:04o}",
            )
        elif status.st_uid not in (os.getuid(), 0) and os.getuid() != 0:
            yield warning(
                "permissions.owner",
                f"{path} belongs to user {status.st_uid}, and this is user {os.getuid()}",
                "run this check, and the node, as the user that the home belongs to",
                path=str(path),
            )


def check_ports(config: Config, layout: HomeLayout, *, running: bool) -> Iterator[Finding]:
    """Whether each address that the node listens on can be had; of a running node, whether somebody listens there."""
    listens = [("p2p.listen", config.p2p.listen_host, config.p2p.listen_port)]
    for name, text in (("rpc.listen", config.rpc.listen), ("metrics.listen", config.metrics.listen)):
        if text:
            listens.append((name, *parse_listen(text)))
    addresses = [(host, port) for _, host, port in listens if port]
    if len(set(addresses)) != len(addresses):
        yield error(
            "port.twice", "two parts of the node would listen on one port", "give each a port of its own in config.toml"
        )
    for name, host, port in listens:
        yield from _check_port(name, host, port, running=running)
    yield _check_socket(layout, config, running=running)


def _check_port(name: str, host: str, port: int, *, running: bool) -> Iterator[Finding]:
    data = {"setting": name, "host": host, "port": port}
    why = _cannot_bind(host, port)
    if why is None and running and port:
        yield warning(
            "port.silent",
            f"the node runs, and nobody listens on {host}:{port} ({name})",
            "the running node has other settings: restart it",
            **data,
        )
    elif why is None or (running and why == "taken"):
        yield ok("port.ours" if running else "port.free", f"{host}:{port} ({name})", **data)
    elif why == "taken":
        yield error(
            "port.taken",
            f"another process listens on {host}:{port} already ({name})",
            f"end it (ss -ltnp 'sport = :{port}' names it), or choose another port in config.toml",
            **data,
        )
    elif why == "privileged":
        yield error("port.privileged", f"ports below 1024 are root's: {port} ({name})", "choose one above 1023", **data)
    else:
        yield error(
            "port.address",
            f"{host} is no address of this machine ({name}): {why}",
            "set it to an address of this machine, or 0.0.0.0 for all of them",
            **data,
        )


def _cannot_bind(host: str, port: int) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as failure:
        return str(failure.strerror)
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except PermissionError:
            return "privileged"
        except OSError as failure:
            return "taken" if failure.errno == 98 else str(failure.strerror)
    return None


def _check_socket(layout: HomeLayout, config: Config, *, running: bool) -> Finding:
    try:
        path = layout.socket(config.rpc.socket)
    except InvalidConfig as failure:
        return error("socket.long", failure.message, "use a shorter home, or a short absolute path in rpc.socket")
    if path.exists() and not path.is_socket():
        return error("socket.other", f"{path} is there and is no socket", f"rm '{path}'", path=str(path))
    if running and not path.exists():
        return warning("socket.gone", f"the node runs, and {path} is not there", "restart the node", path=str(path))
    return ok("socket.path", f"{path}", path=str(path))


def check_exposure(config: Config, layout: HomeLayout) -> Iterator[Finding]:
    """What is open to others, and whether it is protected."""
    rpc = config.rpc
    if rpc.listen:
        host, _ = parse_listen(rpc.listen)
        if not is_loopback(host) and not (rpc.tls_certificate and rpc.tls_key):
            yield error(
                "rpc.open",
                f"RPC would listen on {rpc.listen} without TLS",
                "set rpc.tls_certificate and rpc.tls_key, or listen on 127.0.0.1 (docs/rpc.md)",
            )
        for name in ("tls_certificate", "tls_key", "tls_client_ca"):
            yield from _check_pem(layout, f"rpc.{name}", getattr(rpc, name))
    if config.metrics.listen and not is_loopback(parse_listen(config.metrics.listen)[0]):
        yield warning(
            "metrics.open",
            f"metrics are served on {config.metrics.listen} to everybody who reaches it, without a password",
            "listen on 127.0.0.1 or on a network of its own, and let a firewall keep others out",
        )
    remote = [peer for peer in config.p2p.addresses if not is_loopback(peer.host)]
    if remote and is_loopback(config.p2p.listen_host):
        yield warning(
            "p2p.loopback",
            f"the overlay listens on {config.p2p.listen_host} only, and {len(remote)} peers are on other machines: "
            "they cannot dial this node",
            "set p2p.listen_host to an address that they reach, or 0.0.0.0",
        )


def _check_pem(layout: HomeLayout, name: str, configured: str) -> Iterator[Finding]:
    if not configured:
        return
    path = Path(layout.path / configured)
    try:
        text = path.read_bytes()
    except OSError as failure:
        yield error(f"{name}.unreadable", f"cannot read {path} ({name}): {failure.strerror}", "put the file there")
        return
    if b"PRIVATE KEY" in text and path.stat().st_mode & 0o077:
        yield error(f"{name}.readable", f"others may read the key {path}", f"chmod 0600 '{path}'")
    if b"BEGIN CERTIFICATE" not in text:
        return
    from cryptography import x509  # noqa: PLC0415 - only where there is TLS

    from node.surroundings.certificate_checks import judge_end  # noqa: PLC0415

    try:
        ends = [certificate.not_valid_after_utc for certificate in x509.load_pem_x509_certificates(text)]
    except ValueError as failure:
        yield error(f"{name}.invalid", f"{path} ({name}): {failure}", "put a PEM certificate there")
        return
    end_ms = int(min(ends).timestamp() * 1000)
    yield judge_end(name, f"the TLS certificate {path}", end_ms, "have it renewed, then restart the node")
