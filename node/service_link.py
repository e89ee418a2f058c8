"""Service calls between members' nodes, over the overlay's requests."""

from __future__ import annotations

from ledger.errors import LocalMisuse, NotFound
from node.gateway import ServiceHandler
from node.peers import Peers


class OverlayLink:
    """``node.gateway.ServiceLink`` over the overlay."""

    def __init__(self) -> None:
        self._handlers: dict[str, ServiceHandler] = {}
        self._peers: Peers | None = None

    def attach(self, peers: Peers) -> None:
        """Says how to reach others; called once, before the services run."""
        self._peers = peers

    def serve(self, service: str, handler: ServiceHandler) -> None:
        """See ``ServiceLink``."""
        self._handlers[service] = handler

    async def request(self, node: str, service: str, payload: bytes, timeout_s: float = 10.0) -> bytes:
        """See ``ServiceLink``."""
        if self._peers is None:
            raise LocalMisuse("the overlay is not there yet")
        return await self._peers.call_service(node, service, payload, timeout_s)

    async def answer(self, service: str, organisation: str, payload: bytes) -> bytes:
        """Answers a request that came over the overlay. Raises ``NotFound`` when the service does not run here."""
        handler = self._handlers.get(service)
        if handler is None:
            raise NotFound(f"service {service!r} does not run on this node", code="service_unknown")
        return await handler(organisation, payload)
