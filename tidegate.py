"""The public surface of Tidegate: the one page that integrators import.

    import asyncio
    from tidegate import Body, Client, Output, SigningKey, build

    async def main() -> None:
        async with Client("devnet/node0/run/rpc.sock") as client:
            print(await client.info())

    asyncio.run(main())

Needs neither the overlay nor the store: ``pip install tidegate`` without extras is enough. What is not on this page may
change without notice.
"""

from __future__ import annotations

from ledger.admission import AdmissionCertificate, SignedCertificate, check_certificate
from ledger.block import Block, Event, Header, Receipt, block_id
from ledger.certificate import CommitCertificate, verify_certificate
from ledger.document import from_document, to_document
from ledger.errors import (
    BrokenInvariant,
    Fatal,
    HomeLocked,
    InvalidBlock,
    InvalidConfig,
    InvalidGenesis,
    InvalidInput,
    InvalidLock,
    InvalidProof,
    InvalidSignature,
    InvalidTransaction,
    LocalMisuse,
    MalformedBytes,
    NonCanonicalBytes,
    NotFound,
    Overloaded,
    PeerMisbehaved,
    PeerRefused,
    PeerTimeout,
    PeerUnavailable,
    RemoteFault,
    RpcUnavailable,
    StorageFault,
    TidegateError,
    TransportFailed,
)
from ledger.genesis import Genesis, parse_genesis
from ledger.keys import SigningKey, key_text, parse_key, verify
from ledger.lock import Lock, parse_lock
from ledger.transaction import (
    Attachment,
    Body,
    Call,
    Output,
    Transaction,
    Witness,
    assemble,
    build,
    outpoint,
    preimage_hash,
    sign_body,
)
from ledger.types import Amount, Hash32, Height, OutPoint, PublicKey, TxId
from ledger.validators import ValidatorSet
from node.client import BulkAnswer, Client
from node.flow.client import FlowClient
from node.flow.errors import FlowEnded, FlowTimeout, PurseEmpty, StageExpired, StageRefused
from node.flow.failover import FailoverGateway
from node.flow.progress import FlowProgress
from node.gateway import BlockEvents, ChainInfo, Gateway, Outcome, Unspent
from node.keyfile import read_key, write_key

__all__ = [
    "AdmissionCertificate",
    "Amount",
    "Attachment",
    "Block",
    "BlockEvents",
    "Body",
    "BrokenInvariant",
    "BulkAnswer",
    "Call",
    "ChainInfo",
    "Client",
    "CommitCertificate",
    "Event",
    "FailoverGateway",
    "Fatal",
    "FlowClient",
    "FlowEnded",
    "FlowProgress",
    "FlowTimeout",
    "Gateway",
    "Genesis",
    "Hash32",
    "Header",
    "Height",
    "HomeLocked",
    "InvalidBlock",
    "InvalidConfig",
    "InvalidGenesis",
    "InvalidInput",
    "InvalidLock",
    "InvalidProof",
    "InvalidSignature",
    "InvalidTransaction",
    "LocalMisuse",
    "Lock",
    "MalformedBytes",
    "NonCanonicalBytes",
    "NotFound",
    "OutPoint",
    "Outcome",
    "Output",
    "Overloaded",
    "PeerMisbehaved",
    "PeerRefused",
    "PeerTimeout",
    "PeerUnavailable",
    "PublicKey",
    "PurseEmpty",
    "Receipt",
    "RemoteFault",
    "RpcUnavailable",
    "SignedCertificate",
    "SigningKey",
    "StageExpired",
    "StageRefused",
    "StorageFault",
    "TidegateError",
    "Transaction",
    "TransportFailed",
    "TxId",
    "Unspent",
    "ValidatorSet",
    "Witness",
    "assemble",
    "block_id",
    "build",
    "check_certificate",
    "from_document",
    "key_text",
    "outpoint",
    "parse_genesis",
    "parse_key",
    "parse_lock",
    "preimage_hash",
    "read_key",
    "sign_body",
    "to_document",
    "verify",
    "verify_certificate",
    "write_key",
]
