"""The RPC's methods, area by area: those that every node serves, and the tables of all for the documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node.chain import Chain
from node.data.online import DataMethods
from node.local import LocalGateway
from node.rpc.fields import MAX_PAGE
from node.rpc.method import Area
from node.rpc.methods_chain import ChainMethods
from node.rpc.methods_contracts import ContractMethods
from node.rpc.methods_node import NodeMethods, ServiceCall, StatusSource
from node.rpc.methods_prepare import PrepareMethods
from node.rpc.methods_transactions import TransactionMethods
from node.rpc.proofs import ProofMethods
from node.rpc.subscriptions_methods import SubscriptionMethods


def areas_of(
    chain: Chain,
    gateway: LocalGateway,
    status: StatusSource,
    call_service: ServiceCall,
    *,
    hub: Any = None,
    data: Area | None = None,
    max_page: int = MAX_PAGE,
) -> list[Area]:
    """Everything that a node serves.

    Args:
        chain: committed chain.
        gateway: of the daemon.
        status: how the daemon is doing.
        call_service: reaches the daemon's own services.
        hub: of subscriptions; None: no subscriptions.
        data: methods for the node's data; None: none.
        max_page: entries of a page.
    """
    found: list[Area] = [
        NodeMethods(gateway, status, call_service),
        ChainMethods(chain, gateway, max_page),
        TransactionMethods(chain, gateway, max_page),
        PrepareMethods(chain),
        ContractMethods(chain, gateway),
        ProofMethods(chain),
    ]
    if data is not None:
        found.append(data)
    if hub is not None:
        found.append(SubscriptionMethods(hub))
    return found


def described_areas() -> list[Area]:
    """The same without a node behind them: good for their tables only."""
    nothing: Any = None
    data = DataMethods(nothing, nothing, b"", Path())
    return areas_of(nothing, nothing, nothing, nothing, hub=object(), data=data)
