"""Calls between services: local where the service runs in this daemon, over the overlay otherwise."""

from __future__ import annotations

from ledger.errors import NotFound
from node.gateway import ServiceHandler, ServiceLink


class ServiceSwitch:
    """A ``ServiceLink`` that knows the services of its own daemon.

    Args:
        link: to other members' nodes.
        organisation: whose daemon this is.
        peer_id: the daemon's own, which also names it; empty where there is no overlay.
    """

    def __init__(self, link: ServiceLink, organisation: str, peer_id: str = "") -> None:
        self._link = link
        self._names = {organisation, peer_id}
        self._organisation = organisation
        self._handlers: dict[str, ServiceHandler] = {}

    @property
    def services(self) -> tuple[str, ...]:
        """Names of the services that run here, sorted."""
        return tuple(sorted(self._handlers))

    def serve(self, service: str, handler: ServiceHandler) -> None:
        """See ``ServiceLink``."""
        self._handlers[service] = handler
        self._link.serve(service, handler)

    async def request(self, node: str, service: str, payload: bytes, timeout_s: float = 10.0) -> bytes:
        """See ``ServiceLink``. A refusal by a service of this daemon comes as the error itself."""
        if node in self._names and service in self._handlers:
            return await self.call(service, payload)
        return await self._link.request(node, service, payload, timeout_s)

    async def call(self, service: str, payload: bytes) -> bytes:
        """Asks a service of this daemon as the daemon's own organisation.

        Raises:
            NotFound: it does not run here.
            TidegateError: the service refused.
        """
        handler = self._handlers.get(service)
        if handler is None:
            running = ", ".join(self.services) or "none"
            raise NotFound(f"service {service!r} does not run on this node; running: {running}", code="service_unknown")
        return await handler(self._organisation, payload)
