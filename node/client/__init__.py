"""The SDK's client: one or several nodes, each answer verified where a genesis file is given (docs/sdk.md)."""

from node.client.bulk import BulkAnswer
from node.client.client import Client
from node.client.endpoint import Endpoint
from node.client.preparing import NewCall
from node.client.reading import retry_after_s
from node.client.submitting import SETTLED_STATUSES
from node.client.verifying import ProvedState, ProvedTransaction

__all__ = [
    "SETTLED_STATUSES",
    "BulkAnswer",
    "Client",
    "Endpoint",
    "NewCall",
    "ProvedState",
    "ProvedTransaction",
    "retry_after_s",
]
