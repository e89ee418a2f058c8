"""Builds small real chains for the tests of this folder: signed transactions, roots, certificates."""

import random

from ledger.block import (
    Block,
    DecidedBlock,
    Event,
    Header,
    Receipt,
    block_id,
    change_hashes,
    changes_root,
    receipts_root,
    transactions_root,
)
from ledger.certificate import CommitCertificate, VoteKind, vote_digest
from ledger.chain_store import ChainStore
from ledger.checkpoint import CheckpointTree
from ledger.encoding import encode
from ledger.keys import SigningKey
from ledger.merkle import EMPTY_ROOT
from ledger.transaction import Body, Output, build
from ledger.types import ZERO_HASH
from ledger.validators import ValidatorSet

CHAIN_ID = bytes(range(32))
GENESIS_HASH = b"\x11" * 32
KEYS = sorted((SigningKey(bytes([i]) * 32) for i in range(1, 5)), key=lambda key: key.public)
VALIDATORS = ValidatorSet(key.public for key in KEYS)
ALICE = SigningKey(b"\xaa" * 32)


def body(**changes):
    fields = {
        "version": 1,
        "chain_id": CHAIN_ID,
        "sender": ALICE.public,
        "expiry_height": 100,
        "nonce": bytes(16),
        "inputs": (bytes(36),),
        "outputs": (Output("CNY", 5, f"key(ed25519:{ALICE.public[1:].hex()})"),),
        "calls": (),
        "attachments": (),
        "memo": b"",
    }
    return Body(**(fields | changes))


def certificate_for(header, keys=KEYS, round_=0, epoch=0):
    name = block_id(header)
    signed = vote_digest(header.chain_id, epoch, VoteKind.COMMIT, header.height, round_, name)
    seals = tuple(sorted((key.public, key.sign(signed)) for key in keys))
    return CommitCertificate(header.height, epoch, round_, name, seals)


def genesis_header(writes, **changes):
    hashes = change_hashes(writes)
    fields = {
        "version": 1,
        "chain_id": CHAIN_ID,
        "height": 0,
        "time_ms": 1_000,
        "parent": GENESIS_HASH,
        "history_root": EMPTY_ROOT,
        "history_size": 0,
        "proposer": KEYS[0].public,
        "epoch": 0,
        "validators_hash": VALIDATORS.hash(CHAIN_ID),
        "next_validators_hash": VALIDATORS.hash(CHAIN_ID),
        "transactions_root": EMPTY_ROOT,
        "transactions_count": 0,
        "receipts_root": receipts_root(()),
        "changes_root": changes_root(hashes),
        "changes_count": len(hashes),
        "checkpoint_height": 0,
        "checkpoint_root": ZERO_HASH,
    }
    return Header(**(fields | changes))


class Builder:
    """Makes and commits blocks of random transactions and writes over a store."""

    def __init__(self, store, seed=1, interval=4, genesis_writes=None):
        self.random = random.Random(seed)
        self.store = store
        self.chain = ChainStore(store, CHAIN_ID, GENESIS_HASH)
        self.tree = CheckpointTree(store, interval, self.chain.height if self.chain.initialised else -1)
        self.genesis_writes = {b"u" + bytes([i]): b"start" for i in range(3)} | (genesis_writes or {})
        self.key_pool = [b"u%d" % i for i in range(12)]

    def initialise(self):
        writes = self.genesis_writes
        changes = [(key, leaf, writes[key] is None) for key, leaf in change_hashes(writes)]
        extra = self.tree.block_records(0, changes)
        self.chain.initialise(genesis_header(writes), writes, extra=extra)
        self.tree.committed(0)
        return self

    def transaction(self):
        return build(body(nonce=self.random.randbytes(16)), [ALICE])

    def make(self, count=3, writes=None):
        """(block, transactions, receipts, writes, hashes, certificate) of the next block."""
        tip = self.chain.tip
        height = tip.height + 1
        transactions = [self.transaction() for _ in range(count)]
        receipts = [encode(Receipt(tx.tx_id, "ok", (Event("assets", "moved", b"d"),), ())) for tx in transactions]
        receipts.append(encode(Receipt(ZERO_HASH, "ok", (), ())))
        if writes is None:
            chosen = self.random.sample(self.key_pool, 5)
            writes = {key: self.random.choice([None, self.random.randbytes(20)]) for key in chosen}
        hashes = change_hashes(writes)
        checkpoint_height, checkpoint_root = self.tree.header_fields(height)
        header = Header(
            version=1,
            chain_id=CHAIN_ID,
            height=height,
            time_ms=1_000 + height,
            parent=tip.block_id,
            history_root=self.chain.history.root(),
            history_size=self.chain.history.size,
            proposer=KEYS[height % 4].public,
            epoch=0,
            validators_hash=VALIDATORS.hash(CHAIN_ID),
            next_validators_hash=VALIDATORS.hash(CHAIN_ID),
            transactions_root=transactions_root([tx.ref for tx in transactions]),
            transactions_count=count,
            receipts_root=receipts_root(receipts),
            changes_root=changes_root(hashes),
            changes_count=len(hashes),
            checkpoint_height=checkpoint_height,
            checkpoint_root=checkpoint_root,
        )
        block = Block(header, b"".join(tx.ref for tx in transactions))
        return block, transactions, receipts, writes, hashes, certificate_for(header)

    def prepare(self, made):
        block, transactions, receipts, writes, hashes, certificate = made
        extra = self.tree.block_records(block.header.height, [(k, leaf, writes[k] is None) for k, leaf in hashes])
        return self.chain.prepare_commit(
            block, transactions, receipts, writes, change_hashes=hashes, certificate=certificate, extra=extra
        )

    def commit(self, made=None, **options):
        made = made or self.make(**options)
        self.store.write(self.prepare(made), sync=True)
        self.chain.committed(made[0])
        self.tree.committed(made[0].header.height)
        while not self.tree.run_slice(64):
            pass
        return made

    def grow(self, blocks, **options):
        return [self.commit(**options) for _ in range(blocks)]


def reopened(builder):
    """The chain that a new process finds in the builder's store."""
    return ChainStore(builder.store, CHAIN_ID, GENESIS_HASH)


def decided(made):
    block, transactions, _, _, _, certificate = made
    return DecidedBlock(block.header, tuple(tx.wire for tx in transactions), certificate)


def validators_at(_height):
    return VALIDATORS
