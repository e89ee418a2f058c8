"""Which built-in contracts there are, and the state and header that a genesis file begins a chain with."""

from __future__ import annotations

from typing import Final

from contracts.accounts import Accounts
from contracts.admission import Admission
from contracts.assets import Assets
from contracts.block_result import ExecutionResult
from contracts.bridge.contract import Bridge
from contracts.commission.contract import Commission
from contracts.executor import BlockExecution
from contracts.flow.contract import Flow
from contracts.governance.contract import Governance
from contracts.interface import BlockInfo, Contract, EndContext
from contracts.keyring import Keyring
from contracts.registry.contract import Registry
from contracts.rewraps import Rewraps
from contracts.rulebook.contract import RuleBook
from contracts.rules import Rules
from contracts.supervision.contract import Supervision
from contracts.validators.contract import Validators
from ledger.block import PROTOCOL_VERSION, Header
from ledger.errors import InvalidGenesis
from ledger.genesis import Genesis
from ledger.keys import PUBLIC_KEY_BYTES
from ledger.merkle import EMPTY_ROOT
from ledger.state import StateReader
from ledger.transaction import Output, outpoint
from ledger.types import ZERO_HASH, Height

KINDS: Final[dict[str, type[Contract]]] = {
    contract.kind: contract
    for contract in (
        Admission,
        Governance,
        Validators,
        Accounts,
        Assets,
        Keyring,
        Bridge,
        Commission,
        Flow,
        Registry,
        RuleBook,
        Supervision,
        Rewraps,
    )
}
"""Built-in contracts by kind. A chain's genesis says which of them it has, and where."""
REQUIRED_KINDS: Final = ("admission", "accounts", "assets")
KNOWN_VERSIONS: Final = frozenset({1})
MAX_TIME_MS: Final = 2**53 - 1
"""Largest block time that a header can carry."""


def build_rules(genesis: Genesis) -> Rules:
    """The rules of the chain that ``genesis`` begins.

    Raises:
        InvalidGenesis: a contract kind or version that this program does not have, or a required one is missing.
    """
    instances: dict[str, Contract] = {}
    for doc in genesis.contracts:
        kind = KINDS.get(doc.kind)
        if kind is None or doc.version not in KNOWN_VERSIONS:
            raise InvalidGenesis(
                f"genesis: contract {doc.address!r} is {doc.kind} version {doc.version}, which this program does not "
                f"have; it has version 1 of {', '.join(sorted(KINDS))}"
            )
        if ":" in doc.address or len(doc.address.encode()) > 48:
            raise InvalidGenesis(f"genesis: a contract's address has no colon and at most 48 bytes: {doc.address!r}")
        instances[doc.address] = kind(doc.address)
    kinds = [contract.kind for contract in instances.values()]
    for needed in REQUIRED_KINDS:
        if kinds.count(needed) != 1:
            raise InvalidGenesis(f"genesis: exactly one contract must be of kind {needed}")
    return Rules(genesis.chain_id, instances, genesis.parameters.expiry_window)


def genesis_block(genesis: Genesis, rules: Rules, base: StateReader) -> tuple[Header, ExecutionResult]:
    """Header of block 0 and what it writes.

    Args:
        genesis: a checked genesis.
        rules: from ``build_rules``.
        base: an empty state.

    Raises:
        InvalidGenesis: a contract cannot begin with what the file says, or the time is out of bounds.
    """
    if not 0 <= genesis.created_ms <= MAX_TIME_MS:
        raise InvalidGenesis(f"genesis: created_ms must be 0 to {MAX_TIME_MS}")
    block = BlockInfo(rules.chain_id, Height(0), genesis.created_ms)
    execution = BlockExecution(rules, base, block)
    for address, contract in rules.contracts.items():
        contract.genesis(EndContext(block, address, execution.overlay, execution), genesis)
    index, name = 0, genesis.hash
    for asset in genesis.assets:
        for item in asset.supply:
            execution.place(outpoint(name, index), Output(asset.asset, item.amount, item.lock))
            index += 1
    result = execution.finish()
    validators = genesis.validator_set().hash(rules.chain_id)
    header = Header(
        version=PROTOCOL_VERSION,
        chain_id=rules.chain_id,
        height=0,
        time_ms=genesis.created_ms,
        parent=name,
        history_root=EMPTY_ROOT,
        history_size=0,
        proposer=bytes(PUBLIC_KEY_BYTES),
        epoch=0,
        validators_hash=validators,
        next_validators_hash=validators,
        transactions_root=EMPTY_ROOT,
        transactions_count=0,
        receipts_root=result.receipts_root,
        changes_root=result.changes_root,
        changes_count=len(result.change_hashes),
        checkpoint_height=0,
        checkpoint_root=ZERO_HASH,
    )
    return header, result
