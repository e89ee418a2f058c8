"""What other contracts may ask of the bridge's light clients."""

from __future__ import annotations

from contracts.bridge.state import find_client, need_client
from contracts.interface import EndContext


def newest_time_ms(context: EndContext, role: str) -> int:
    """Time of the newest proved header of the chain of ``role``.

    Args:
        context: of any contract.
        role: from ``records.ROLES``.

    Returns:
        Milliseconds since 1970 UTC; 0 where there is no bridge, no client, or a frozen one: nothing of it counts.
    """
    address = context.directory.address_of("bridge")
    client = find_client(context.enter(address).state, role) if address else None
    return 0 if client is None or client.state.frozen else client.state.latest.time_ms


def has_client(context: EndContext, role: str) -> bool:
    """True when a packet can be sent to the chain of ``role``: its client is registered and not frozen."""
    address = context.directory.address_of("bridge")
    client = find_client(context.enter(address).state, role) if address else None
    return client is not None and not client.state.frozen


def chain_of(context: EndContext, role: str) -> bytes:
    """Chain id of the chain of ``role``; refuses with ``bridge_no_client``, or ``contract_unknown`` without bridge."""
    return need_client(context.enter_kind("bridge").state, role).state.chain_id
