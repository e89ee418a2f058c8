"""The sections of the daemon's configuration; ``node.config`` reads them. docs/operator.md lists every key."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from ledger.errors import InvalidConfig, InvalidInput
from ledger.lock import check_name
from node.layout import DEFAULT_SOCKET
from p2p.identity import public_key_of_peer_id
from p2p.transport import PeerAddress, PeerId

MAX_PEERS: Final = 256
_MIB: Final = 1024 * 1024


def parse_peer(text: str) -> PeerAddress:
    """The address that ``PEERID@HOST:PORT`` says; an IPv6 host stands in brackets.

    Raises:
        InvalidConfig: another form, or not the id of an Ed25519 key.
    """
    peer_id, at, address = text.partition("@")
    host, colon, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else "" if ":" in host else host
    if not (at and colon and host) or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise InvalidConfig(f"a peer is written PEERID@HOST:PORT, not {text[:120]!r}", key="p2p.peers")
    try:
        public_key_of_peer_id(peer_id)
    except InvalidInput as error:
        raise InvalidConfig(f"peer {text[:120]!r}: {error.message}", key="p2p.peers") from error
    return PeerAddress(PeerId(peer_id), host, int(port))


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; an IPv6 host stands in brackets, port 0 lets the system choose.

    Raises:
        ValueError: another form.
    """
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else "" if ":" in host else host
    if not (colon and host) or not (port.isascii() and port.isdigit() and int(port) < 65_536):
        raise ValueError("write HOST:PORT")
    return host, int(port)


def _name(value: str) -> str:
    try:
        return check_name(value)
    except InvalidInput as error:
        raise ValueError(error.message) from error


def _peer(value: str) -> str:
    try:
        parse_peer(value)
    except InvalidConfig as error:
        raise ValueError(error.message) from error
    return value


def _commas(value: object) -> object:
    """Lets the environment write a list with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _listen(value: str) -> str:
    if value:
        parse_listen(value)
    return value


_Name = Annotated[str, AfterValidator(_name)]
_File = Annotated[str, Field(max_length=1_024)]
_Listen = Annotated[str, AfterValidator(_listen)]
_Texts = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=255)], ...],
    BeforeValidator(_commas), NoDecode, Field(max_length=256),
]  # fmt: skip
_Peers = Annotated[
    tuple[Annotated[str, AfterValidator(_peer)], ...], BeforeValidator(_commas), NoDecode, Field(max_length=MAX_PEERS)
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChainSection(_Section):
    """``[chain]``: which chain this home was made for.

    Attributes:
        genesis_hash: hash of the genesis file's content in hex; empty where it is not pinned.
    """

    genesis_hash: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


class NodeSection(_Section):
    """``[node]``: who runs this node.

    Attributes:
        name: of the node, in logs and status.
        organisation: the member that answers for it, as its certificates say.
    """

    name: _Name
    organisation: _Name


class P2pSection(_Section):
    """``[p2p]``: the overlay.

    Attributes:
        listen_host: address to listen on.
        listen_port: TCP port.
        peers: whom to keep connected, ``PEERID@HOST:PORT`` each.
    """

    listen_host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    listen_port: Annotated[int, Field(ge=1, le=65_535)] = 7300
    peers: _Peers = ()

    @property
    def addresses(self) -> tuple[PeerAddress, ...]:
        """``peers``, parsed."""
        return tuple(parse_peer(peer) for peer in self.peers)


class RpcSection(_Section):
    """``[rpc]``: how clients reach the node.

    Attributes:
        socket: Unix socket, relative to the home or absolute.
        listen: ``HOST:PORT`` to serve the same over TCP; empty: the socket only.
        tls_certificate: PEM file with the server's certificate chain; needed on any address but loopback.
        tls_key: PEM file with its key.
        tls_client_ca: PEM file with the authorities of client certificates; empty: clients show tokens.
        client_scopes: ``NAME=scope`` for each common name of a client certificate that may come in.
        tokens: file with the digests of tokens and their scopes (``tidegate rpc token``).
        allowed_hosts: names in ``Host`` that are answered beside loopback's own and ``listen``.
        allowed_origins: origins of web pages that may ask; none: no page may.
        max_connections: open at once.
        max_in_flight: requests served at once.
        max_body_bytes: of one request.
        max_batch: requests in one batch.
        max_page: entries of one page of a list.
        max_subscriptions: at once, over all connections.
        cost_per_second: units that one client may spend a second; docs/rpc.md has each method's cost.
        cost_burst: units that a client may save up.
    """

    socket: Annotated[str, Field(min_length=1, max_length=255)] = DEFAULT_SOCKET
    listen: _Listen = ""
    tls_certificate: _File = ""
    tls_key: _File = ""
    tls_client_ca: _File = ""
    client_scopes: _Texts = ()
    tokens: _File = "keys/rpc-tokens.json"
    allowed_hosts: _Texts = ()
    allowed_origins: _Texts = ()
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 512
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 1_024
    max_body_bytes: Annotated[int, Field(ge=4_096, le=64 * _MIB)] = 5 * _MIB
    max_batch: Annotated[int, Field(ge=1, le=1_000)] = 100
    max_page: Annotated[int, Field(ge=1, le=1_000)] = 1_000
    max_subscriptions: Annotated[int, Field(ge=0, le=100_000)] = 256
    cost_per_second: Annotated[int, Field(ge=1, le=10_000_000)] = 5_000
    cost_burst: Annotated[int, Field(ge=1, le=10_000_000)] = 20_000


class MetricsSection(_Section):
    """``[metrics]``: Prometheus metrics and health of the whole daemon.

    Attributes:
        listen: ``HOST:PORT`` for ``/metrics``, ``/livez`` and ``/readyz``; empty: not served.
    """

    listen: _Listen = ""


class TelemetrySection(_Section):
    """``[telemetry]``: OpenTelemetry spans; needs the extra ``telemetry``.

    Attributes:
        otlp_endpoint: ``http://HOST:PORT`` of a collector (OTLP over HTTP); empty: no spans.
        sample_ratio: share of transactions that are traced, in thousandths.
    """

    otlp_endpoint: Annotated[str, Field(max_length=1_024, pattern=r"^(https?://.+)?$")] = ""
    sample_ratio: Annotated[int, Field(ge=0, le=1_000)] = 100


class StorageSection(_Section):
    """``[storage]``: what is kept on disk, and when the node stops for want of room.

    Attributes:
        retain_blocks: blocks below the tip whose contents are kept; 0: all of them.
        min_free_bytes: the node stops in order when less is free, before the store is stuck.
        join_from_snapshot: an empty node fetches a checkpoint's state from its peers instead of every block.
    """

    retain_blocks: Annotated[int, Field(ge=0, le=10**12)] = 0
    min_free_bytes: Annotated[int, Field(ge=0, le=1024 * 1024 * _MIB)] = 256 * _MIB
    join_from_snapshot: bool = False


class MempoolSection(_Section):
    """``[mempool]``: bounds of what waits for a block.

    Attributes:
        max_transactions: most transactions.
        max_bytes: most wire bytes.
        organisation_bytes: most wire bytes of one organisation.
    """

    max_transactions: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    max_bytes: Annotated[int, Field(ge=_MIB, le=16 * 1024 * _MIB)] = 64 * _MIB
    organisation_bytes: Annotated[int, Field(ge=_MIB, le=16 * 1024 * _MIB)] = 48 * _MIB


class ServiceSection(_Section):
    """A service that this node runs or not.

    Attributes:
        enabled: whether it runs.
    """

    enabled: bool = False


class TransactionServiceSection(ServiceSection):
    """``[services.transaction]``: standardises raw sales and asks for their booking.

    Attributes:
        bookkeeper: peer id or organisation of the node that books; None is this node.
    """

    bookkeeper: _Name | None = None


class ServicesSection(_Section):
    """``[services]``: what this node does for its organisation (PROTOCOL.md 1.3)."""

    transaction: TransactionServiceSection = TransactionServiceSection()
    bookkeeping: ServiceSection = ServiceSection()
    settlement: ServiceSection = ServiceSection()
    authority: ServiceSection = ServiceSection()


class FusionSection(_Section):
    """``[fusion]``: a daemon that hosts a second chain and relays between the two (DESIGN.md 6).

    Attributes:
        supervision_home: home of the node of the other chain, relative to this one; empty: one chain only.
    """

    supervision_home: Annotated[str, Field(max_length=1_024)] = ""


class LogSection(_Section):
    """``[log]``: what is logged and how.

    Attributes:
        level: the least severe that is written.
        format: ``json`` for machines, ``console`` for people.
        file: log file, relative to the home or absolute; empty: standard error only.
        max_bytes: size at which the file is put aside and a new one begun; 0: never (an outer logrotate does it).
        keep: files put aside that are kept.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    file: _File = ""
    max_bytes: Annotated[int, Field(ge=0, le=1024 * 1024 * _MIB)] = 64 * _MIB
    keep: Annotated[int, Field(ge=1, le=1_000)] = 8
