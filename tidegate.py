"""The public surface of Tidegate: the one page that integrators import.

    import asyncio
    from tidegate import Client

    async def main() -> None:
        async with Client("devnet/node0/run/rpc.sock", genesis="genesis.json") as client:
            print(await client.info())  # proved from the genesis file on, or refused

    asyncio.run(main())

docs/sdk.md is the guide. Needs neither the overlay nor the store: ``pip install tidegate`` without extras is enough.
What is not on this page may change without notice.
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
from ledger.light_client import TrustedHeader
from ledger.lock import Lock, parse_lock
from ledger.packet import HeaderProof
from ledger.proofs import BlockProof, ChangeProof, StateProofAt, TransactionProof
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
from node.client import BulkAnswer, Client, Endpoint, NewCall, ProvedState, ProvedTransaction
from node.flow.client import FlowClient
from node.flow.errors import FlowEnded, FlowTimeout, PurseEmpty, StageExpired, StageRefused
from node.flow.failover import FailoverGateway
from node.flow.progress import FlowProgress
from node.gateway import BlockEvents, ChainInfo, Gateway, Outcome, Unspent
from node.keyfile import read_key, write_key
from node.light import ForkFound, LightClient
from node.proof_file import fetch_proof, verify_file
from node.subscriber import Cursor, Notification

__all__ = [
    "AdmissionCertificate",
    "Amount",
    "Attachment",
    "Block",
    "BlockEvents",
    "BlockProof",
    "Body",
    "BrokenInvariant",
    "BulkAnswer",
    "Call",
    "ChainInfo",
    "ChangeProof",
    "Client",
    "CommitCertificate",
    "Cursor",
    "Endpoint",
    "Event",
    "FailoverGateway",
    "Fatal",
    "FlowClient",
    "FlowEnded",
    "FlowProgress",
    "FlowTimeout",
    "ForkFound",
    "Gateway",
    "Genesis",
    "Hash32",
    "Header",
    "HeaderProof",
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
    "LightClient",
    "LocalMisuse",
    "Lock",
    "MalformedBytes",
    "NewCall",
    "NonCanonicalBytes",
    "NotFound",
    "Notification",
    "OutPoint",
    "Outcome",
    "Output",
    "Overloaded",
    "PeerMisbehaved",
    "PeerRefused",
    "PeerTimeout",
    "PeerUnavailable",
    "ProvedState",
    "ProvedTransaction",
    "PublicKey",
    "PurseEmpty",
    "Receipt",
    "RemoteFault",
    "RpcUnavailable",
    "SignedCertificate",
    "SigningKey",
    "StageExpired",
    "StageRefused",
    "StateProofAt",
    "StorageFault",
    "TidegateError",
    "Transaction",
    "TransactionProof",
    "TransportFailed",
    "TrustedHeader",
    "TxId",
    "Unspent",
    "ValidatorSet",
    "Witness",
    "assemble",
    "block_id",
    "build",
    "check_certificate",
    "fetch_proof",
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
    "verify_file",
    "write_key",
]
