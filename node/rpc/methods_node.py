"""RPC methods about the node itself: how it is doing, and its services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import Meta

from ledger.document import to_document
from node.gateway import ChainInfo
from node.local import LocalGateway
from node.rpc.fields import HexBytes, KeyText, Name, unhex
from node.rpc.method import Method, Params, Result, Scope

SERVICES: Final = "services"
"""Of every node: a JSON array of the names of its services."""


class StatusSource(Protocol):
    """Who knows how the daemon is doing; ``node.status.StatusReport`` is one."""

    def document(self) -> dict[str, Any]:
        """The reply of ``node.status`` without the chain's part."""
        ...


ServiceCall = Callable[[str, bytes], Awaitable[bytes]]
"""(service, payload) → answer, as this node's own organisation."""


class NodeStatus(Result, frozen=True):
    """How a node is doing. Further parts of the daemon add fields of their own.

    Attributes:
        name: of the node.
        organisation: that answers for it.
        peer_id: in the overlay.
        key: that it signs blocks with.
        version: of the program.
        ready: it serves.
        validator: it is in the set that decides the next block.
        observing: it only watches, because what it signed before is not known to it.
        round: of consensus.
        epoch: validator epoch: number and first height.
        validators: key, organisation, and when each was last heard of.
        coming: the set of the next height where that is another.
        parameters: in force.
        peers: connected nodes: peer id, organisation, key, height, when last heard of.
        mempool: waiting transactions and their bytes.
        syncing: it fetches blocks that others have.
        target_height: highest block that it knows to exist.
        evidence: faults of validators that this node found since its start.
        misbehaviour: recorded and waiting evidence.
        signer: why it observes, damaged logs.
        services: that run here.
        uptime_s: seconds since its start.
        rss_mb: resident memory in 10⁶ bytes.
        cpu_s: processor time since its start.
        traffic: bytes over the overlay.
        chain: where the chain stands.
    """

    name: str
    organisation: str
    peer_id: str
    key: KeyText
    version: str
    ready: bool
    validator: bool
    observing: bool
    round: int
    epoch: dict[str, Any]
    validators: list[dict[str, Any]]
    coming: dict[str, Any] | None
    parameters: dict[str, Any]
    peers: list[dict[str, Any]]
    mempool: dict[str, Any]
    syncing: bool
    target_height: int
    evidence: int
    misbehaviour: dict[str, Any]
    services: list[str]
    uptime_s: float
    rss_mb: float
    cpu_s: float
    traffic: dict[str, Any]
    chain: ChainInfo
    signer: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class ServiceParams(Params, frozen=True):
    """Parameters of ``service.call``.

    Attributes:
        payload: what the service defines; bytes in lower-case hex, at most 1 MiB.
    """

    service: Annotated[
        Name, Meta(description="Name of the service, such as `bookkeeping`; `services` lists those that run here.")
    ]
    payload: HexBytes


class Payload(Result, frozen=True):
    """Answer of a service: what the service defines, in hex."""

    payload: HexBytes


class NodeMethods:
    """``node.*`` and ``service.*``.

    Args:
        gateway: of the daemon.
        status: how the daemon is doing.
        call_service: reaches the daemon's own services.
    """

    def __init__(self, gateway: LocalGateway, status: StatusSource, call_service: ServiceCall) -> None:
        self._gateway = gateway
        self._status = status
        self._call_service = call_service

    def table(self) -> tuple[Method, ...]:
        """See ``Area``."""
        return (
            Method(
                name="node.status",
                scope=Scope.READ,
                summary="Says how the node is doing.",
                params=Params,
                result=NodeStatus,
                call=self._node_status,
                cost=5,
            ),
            Method(
                name="service.call",
                scope=Scope.OFFICER,
                summary="Asks a service of this node, as the node's own organisation.",
                params=ServiceParams,
                result=Payload,
                call=self._service,
                errors=("service_unknown", "malformed", "call_refused"),
                cost=10,
                example={"service": SERVICES, "payload": ""},
            ),
        )

    async def _node_status(self, params: Params) -> dict[str, Any]:
        del params
        return {**self._status.document(), "chain": to_document(await self._gateway.info())}

    async def _service(self, params: ServiceParams) -> Payload:
        if params.service == SERVICES:
            names = self._status.document().get("services", [])
            return Payload(payload=msgspec.json.encode(names).hex())
        answer = await self._call_service(params.service, unhex(params.payload, "payload"))
        return Payload(payload=answer.hex())
