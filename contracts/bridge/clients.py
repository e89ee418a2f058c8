"""What other contracts may ask of the bridge's light clients."""

from __future__ import annotations

from contracts.bridge.freshness import freshness
from contracts.bridge.records import SUPERVISION
from contracts.bridge.state import find_client, need_client
from contracts.interface import EndContext


def newest_time_ms(context: EndContext, role: str) -> int:
    """Until when this chain knows what the chain of ``role`` says, proved.

    Of the supervision chain: the time of its newest block by which every packet that it had sent was taken here
    (``contracts.bridge.freshness``). Of the business chain, which controls nothing: the time of its newest header.

    Args:
        context: of any contract.
        role: from ``records.ROLES``.

    Returns:
        Milliseconds since 1970 UTC; 0 where there is no bridge, no client, or a frozen one: nothing of it counts.
    """
    address = context.directory.address_of("bridge")
    client = find_client(context.enter(address).state, role) if address else None
    if client is None or client.state.frozen:
        return 0
    return (
        freshness(context.enter(address).state, role).known_ms if role == SUPERVISION else client.state.latest.time_ms
    )


def has_client(context: EndContext, role: str) -> bool:
    """True when a packet can be sent to the chain of ``role``: its client is registered and not frozen."""
    address = context.directory.address_of("bridge")
    client = find_client(context.enter(address).state, role) if address else None
    return client is not None and not client.state.frozen


def chain_of(context: EndContext, role: str) -> bytes:
    """Chain id of the chain of ``role``; refuses with ``bridge_no_client``, or ``contract_unknown`` without bridge."""
    return need_client(context.enter_kind("bridge").state, role).state.chain_id
