"""Executes transactions in order on an overlay and sums up the block: receipts, changes, roots (DESIGN.md 1, 5).

The rules that hold for every transaction are here (signatures, expiry, replay, inputs, admission, locks,
conservation); what a call does is the contracts' matter.
"""

from __future__ import annotations

from typing import Final

import structlog

from contracts import codes
from contracts.accounts import find_account
from contracts.admission import find_member
from contracts.assets import is_defined
from contracts.block_result import BlockFull, ExecutionResult
from contracts.codes import Refusal
from contracts.interface import Account, BlockInfo, CallContext, Contract, Directory, EndContext, Member
from contracts.rules import Rules, verify_signatures
from ledger.admission import SUBMITTING_ROLES
from ledger.block import OK, Event, Receipt, change_hashes, changes_root, receipts_root
from ledger.encoding import Codec, encode
from ledger.errors import Fatal, InvalidGenesis, InvalidInput, InvalidLock, InvalidTransaction
from ledger.lock import AccountLock, ContractLock, KeyLock, Lock, Unlocking, parse_lock
from ledger.state import LIVE_ID_PREFIX, Overlay, StateReader, live_id_key
from ledger.transaction import Output, Transaction, preimage_hash
from ledger.types import MAX_AMOUNT, ZERO_HASH

log = structlog.get_logger(__name__)

MAX_EXPIRED_IDS_PER_BLOCK: Final = 8_192
"""Live ids deleted in one block; more wait for the next. Above a block's transactions, so it catches up."""
MAX_BLOCK_WRITES: Final = 131_072
MAX_BLOCK_RECEIPT_BYTES: Final = 8 * 1024 * 1024
MAX_RECEIPT_BYTES: Final = 1024 * 1024
"""Events and results of one receipt: well below what ``ledger.block.receipt_codec`` reads."""
MAX_SHOWN_RECEIPT_BYTES: Final = 96 * 1024
"""The same where the bridge has an event in it: the other chain must be shown the whole receipt in one transaction, or
its packet could never be delivered and would block the lane for everybody."""

_output_codec = Codec(Output, 4_096, "output")
_decode_output = _output_codec.decode


class BlockExecution(Directory):
    """One block being executed. ``add`` transactions in order, then ``finish``.

    Args:
        rules: of the chain.
        base: state before the block.
        block: the block.
        sweep: drop live ids that have expired; off only for executions that are thrown away.

    Attributes:
        block: the block.
        overlay: its changes so far.
    """

    def __init__(self, rules: Rules, base: StateReader, block: BlockInfo, *, sweep: bool = True) -> None:
        self._rules = rules
        self.block = block
        self.overlay = Overlay(base)
        self._accounts = rules.address_of("accounts")
        self._assets = rules.address_of("assets")
        self._admission = rules.address_of("admission")
        self._bridge = rules.address_of("bridge")
        self._members: dict[bytes, Member | None] = {}
        self._known_assets: set[str] = set()
        self._receipts: list[bytes] = []
        self._receipt_bytes = 0
        self._created: dict[bytes, str] = {}
        self._spent: dict[bytes, str] = {}
        self._calls_made = False
        if sweep:
            self._drop_expired_ids()

    # --- what contracts may ask ------------------------------------------------------------------------------

    def account(self, name: str) -> Account | None:
        """See ``Directory``."""
        return find_account(self.overlay, self._accounts, name)

    def member(self, key: bytes) -> Member | None:
        """See ``Directory``."""
        try:
            return self._members[key]
        except KeyError:
            member = find_member(self.overlay, self._admission, key, self.block.time_ms)
            self._members[key] = member
            return member

    def asset_exists(self, asset: str) -> bool:
        """See ``Directory``."""
        if asset in self._known_assets:
            return True
        if ":" in asset:
            known = asset.partition(":")[0] in self._rules.contracts
        else:
            known = is_defined(self.overlay, self._assets, asset)
        if known:
            self._known_assets.add(asset)
        return known

    def contract(self, address: str) -> Contract | None:
        """See ``Directory``."""
        return self._rules.contracts.get(address)

    def address_of(self, kind: str) -> str:
        """See ``Directory``."""
        return self._rules.address_of(kind)

    # --- transactions ------------------------------------------------------------------------------------------

    def add(self, transaction: Transaction) -> Refusal | None:
        """Executes one transaction.

        Returns:
            None when it took effect; the refusal when its receipt is a refused one (only its id is consumed).

        Raises:
            InvalidTransaction: it must not be in this block at all (``codes.BLOCK_BREAKING``); nothing changed.
            BlockFull: it does not fit any more; nothing changed.
        """
        live_key = self._check_admissible(transaction)
        signers = verify_signatures(transaction)
        inputs = self._resolve_inputs(transaction)
        overlay = self.overlay
        if len(overlay.writes) > MAX_BLOCK_WRITES or self._receipt_bytes > MAX_BLOCK_RECEIPT_BYTES:
            raise BlockFull("the block is full")
        overlay.put(live_key, b"")
        mark = overlay.mark()
        refusal: Refusal | None = None
        try:
            receipt = self._evaluate(transaction, signers, inputs)
            self._move(transaction, inputs)
        except Refusal as error:
            overlay.undo(mark)
            self._forget_lookups()
            refusal = error
            receipt = Receipt(transaction.tx_id, error.code, (), ())
        data = encode(receipt)
        self._receipts.append(data)
        self._receipt_bytes += len(data)
        return refusal

    def check(self, transaction: Transaction) -> None:
        """Tries one transaction on the state as it is, and leaves no trace: what a mempool does before it admits.

        Raises:
            InvalidTransaction: it must not be in this block, or (``Refusal``) would only get a refused receipt.
        """
        self._check_admissible(transaction)
        signers = verify_signatures(transaction)
        inputs = self._resolve_inputs(transaction)
        mark = self.overlay.mark()
        try:
            self._evaluate(transaction, signers, inputs)
        finally:
            self.overlay.undo(mark)
            if transaction.body.calls:
                self._forget_lookups()

    def _check_admissible(self, transaction: Transaction) -> bytes:
        body = transaction.body
        height = self.block.height
        if body.chain_id != self.block.chain_id:
            raise InvalidTransaction("the transaction is for another chain", code=codes.CHAIN_WRONG)
        expiry = body.expiry_height
        if expiry < height:
            raise InvalidTransaction(
                f"expired: it may be in blocks up to {expiry}, this is {height}; sign it anew", code=codes.EXPIRED
            )
        if expiry > height + self._rules.expiry_window:
            raise InvalidTransaction(
                f"it expires at {expiry}, more than {self._rules.expiry_window} blocks ahead of {height}",
                code=codes.EXPIRY_TOO_FAR,
            )
        key = live_id_key(expiry, transaction.tx_id)
        if self.overlay.get(key) is not None:
            raise InvalidTransaction("this transaction is in a block already", code=codes.REPLAYED)
        return key

    def _resolve_inputs(self, transaction: Transaction) -> tuple[Output, ...]:
        get = self.overlay.get
        found: list[Output] = []
        for outpoint in transaction.body.inputs:
            data = get(b"u" + outpoint)
            if data is None:
                raise InvalidTransaction(
                    f"input {outpoint.hex()} is spent or was never created", code=codes.INPUT_MISSING, outpoint=outpoint
                )
            found.append(_decode_output(data))
        return tuple(found)

    def _evaluate(self, transaction: Transaction, signers: frozenset[bytes], inputs: tuple[Output, ...]) -> Receipt:
        body = transaction.body
        sender = self.member(body.sender)
        if sender is None or SUBMITTING_ROLES.isdisjoint(sender.roles):
            raise Refusal(codes.SENDER_NOT_ADMITTED, "no valid admission certificate lets the sender's key submit")
        if not (body.inputs or body.outputs or body.calls):
            raise Refusal(codes.EMPTY, "the transaction does nothing")
        used_keys: set[bytes] = {body.sender}
        issued: dict[str, int] = {}
        destroyed: dict[str, int] = {}
        approvals: dict[int, set[str]] = {}
        receipt = Receipt(transaction.tx_id, OK, (), ())
        if body.calls:
            events: list[Event] = []
            results: list[bytes] = []
            for call in body.calls:
                context = CallContext(
                    self.block,
                    call.contract,
                    self.overlay,
                    self,
                    transaction=transaction,
                    sender=sender,
                    inputs=inputs,
                    signers=signers,
                    used_keys=used_keys,
                    issued=issued,
                    destroyed=destroyed,
                    approvals=approvals,
                )
                results.append(self._call(context, call.method, call.arguments))
                events.extend(context.events)
            if self._is_too_large(events, sum([len(result) for result in results])):
                raise Refusal(codes.LIMIT_EXCEEDED, "events and results are too large for a receipt")
            receipt = Receipt(transaction.tx_id, OK, tuple(events), tuple(results))
            self._calls_made = True
        self._check_balance(inputs, body.outputs, issued, destroyed)
        self._check_locks(transaction, signers, inputs, used_keys, approvals)
        return receipt

    def _call(self, context: CallContext, name: str, arguments: bytes) -> bytes:
        contract = self._rules.contracts.get(context.address)
        if contract is None:
            raise Refusal(codes.CONTRACT_UNKNOWN, f"there is no contract {context.address!r}")
        method = contract.methods.get(name)
        if method is None:
            known = ", ".join(contract.methods)
            raise Refusal(codes.METHOD_UNKNOWN, f"{context.address} has no method {name!r}; it has {known}")
        try:
            decoded = method.arguments.decode(arguments)
        except InvalidInput as error:
            raise Refusal(codes.ARGUMENTS_INVALID, error.message) from error
        try:
            result = method.run(contract, context, decoded)
            answer = b"" if result is None else encode(result)
        except (Refusal, Fatal):
            raise
        except Exception as error:
            # The same bug strikes every validator alike: refusing keeps the chain going, the log tells the operator.
            log.exception("contract_failed", contract=context.address, method=name)
            raise Refusal(
                "contract_failed", f"{context.address}.{name} failed; this is a bug of the contract"
            ) from error
        self._forget_lookups()
        return answer

    def _is_too_large(self, events: list[Event], results_bytes: int = 0) -> bool:
        size_bytes = _size_bytes(events) + results_bytes
        if size_bytes <= MAX_SHOWN_RECEIPT_BYTES:
            return False
        return size_bytes > MAX_RECEIPT_BYTES or any(event.contract == self._bridge for event in events)

    def _check_balance(
        self,
        inputs: tuple[Output, ...],
        outputs: tuple[Output, ...],
        issued: dict[str, int],
        destroyed: dict[str, int],
    ) -> None:
        known = self._known_assets
        if len(inputs) == 1 and not issued and not destroyed:
            asset, rest = inputs[0].asset, inputs[0].amount
            for output in outputs:
                if output.asset != asset:
                    break
                rest -= output.amount
            else:
                if rest == 0 and asset in known:
                    return
        totals: dict[str, int] = dict(issued)
        for output in inputs:
            totals[output.asset] = totals.get(output.asset, 0) + output.amount
        for asset, amount in destroyed.items():
            totals[asset] = totals.get(asset, 0) - amount
        for output in outputs:
            asset = output.asset
            if asset not in known and not self.asset_exists(asset):
                raise Refusal(codes.ASSET_UNKNOWN, f"there is no asset {asset!r}")
            totals[asset] = totals.get(asset, 0) - output.amount
        for asset, rest in totals.items():
            if rest:
                raise Refusal(
                    codes.UNBALANCED,
                    f"{asset}: inputs and issued exceed outputs and destroyed by {rest}",
                    asset=asset,
                    difference=rest,
                )

    def _check_locks(
        self,
        transaction: Transaction,
        signers: frozenset[bytes],
        inputs: tuple[Output, ...],
        used_keys: set[bytes],
        approvals: dict[int, set[str]],
    ) -> None:
        by: Unlocking | None = None
        for index, output in enumerate(inputs):
            lock = parse_lock(output.lock)
            if type(lock) is KeyLock and lock.key in signers:
                used_keys.add(lock.key)
                continue
            if by is None:
                by = self._unlocking(transaction, signers, used_keys)
            by.approved = frozenset(approvals.get(index, ()))
            if not lock.satisfied(by):
                raise Refusal(codes.LOCK_UNSATISFIED, f"input {index}: the lock {lock} is not satisfied", input=index)
        for output in transaction.body.outputs:
            self._check_output_lock(output.lock)
        if len(used_keys) != len(signers):
            raise Refusal(codes.SIGNATURE_SUPERFLUOUS, "a signature is there that nothing asks for")
        if transaction.witness.preimages:
            needed = by.used_preimages if by is not None else set()
            if len(needed) != len(transaction.witness.preimages):
                raise Refusal(codes.PREIMAGE_SUPERFLUOUS, "a preimage is there that no lock asks for")

    def _unlocking(self, transaction: Transaction, signers: frozenset[bytes], used_keys: set[bytes]) -> Unlocking:
        return Unlocking(
            signers=signers,
            preimage_hashes=frozenset(preimage_hash(preimage) for preimage in transaction.witness.preimages),
            height=self.block.height,
            account_lock=self._account_lock,
            approved=frozenset(),
            used_keys=used_keys,
            used_preimages=set(),
        )

    def _account_lock(self, name: str) -> Lock | None:
        account = self.account(name)
        return None if account is None else account.lock

    def _check_output_lock(self, text: str) -> None:
        try:
            lock = parse_lock(text)
        except InvalidLock as error:
            raise Refusal(codes.LOCK_INVALID, error.message) from error
        if type(lock) is KeyLock:
            return
        for part in lock.walk():
            if isinstance(part, AccountLock) and self.account(part.name) is None:
                raise Refusal(codes.ACCOUNT_UNKNOWN, f"there is no account {part.name!r}")
            if isinstance(part, ContractLock) and part.address not in self._rules.contracts:
                raise Refusal(codes.CONTRACT_UNKNOWN, f"there is no contract {part.address!r}")

    def _move(self, transaction: Transaction, inputs: tuple[Output, ...]) -> None:
        overlay = self.overlay
        created = self._created
        for outpoint, output in zip(transaction.body.inputs, inputs, strict=True):
            overlay.delete(b"u" + outpoint)
            if created.pop(outpoint, None) is None:
                self._spent[outpoint] = output.lock
        tx_id = transaction.tx_id
        for index, output in enumerate(transaction.body.outputs):
            outpoint = tx_id + index.to_bytes(4, "big")
            overlay.put(b"u" + outpoint, encode(output))
            created[outpoint] = output.lock

    def place(self, outpoint: bytes, output: Output) -> None:
        """Puts an output of the genesis file under its outpoint.

        Raises:
            InvalidGenesis: its lock or asset cannot be.
        """
        try:
            self._check_output_lock(output.lock)
        except Refusal as error:
            raise InvalidGenesis(f"genesis: supply of {output.asset}: {error.message}") from error
        if not 0 < output.amount <= MAX_AMOUNT:
            raise InvalidGenesis(f"genesis: supply of {output.asset}: the amount must be 1 to {MAX_AMOUNT}")
        self.overlay.put(b"u" + outpoint, encode(output))
        self._created[outpoint] = output.lock

    # --- the ends of a block ------------------------------------------------------------------------------------

    def _drop_expired_ids(self) -> None:
        end = LIVE_ID_PREFIX + self.block.height.to_bytes(8, "big")
        expired = []
        for key, _ in self.overlay.base.iterate(LIVE_ID_PREFIX, limit=MAX_EXPIRED_IDS_PER_BLOCK):
            if key >= end:
                break
            expired.append(key)
        for key in expired:
            self.overlay.delete(key)

    def _forget_lookups(self) -> None:
        self._members.clear()
        self._known_assets.clear()

    def finish(self) -> ExecutionResult:
        """Ends the block: contracts do what is due, and everything is summed up. Call it once."""
        events: list[Event] = []
        for address, contract in self._rules.contracts.items():
            context = EndContext(self.block, address, self.overlay, self)
            mark = self.overlay.mark()
            try:
                contract.end_block(context)
            except Fatal:
                raise
            except Exception:
                log.exception("contract_failed", contract=address, method="end_block")
                self.overlay.undo(mark)
                continue
            if self._is_too_large([*events, *context.events]):
                log.error("contract_failed", contract=address, method="end_block", why="it emits too much")
                self.overlay.undo(mark)
                continue
            events.extend(context.events)
        self._receipts.append(encode(Receipt(ZERO_HASH, OK, tuple(events), ())))
        hashes = change_hashes(self.overlay.writes)
        return ExecutionResult(
            receipts=self._receipts,
            writes=self.overlay.writes,
            change_hashes=hashes,
            receipts_root=receipts_root(self._receipts),
            changes_root=changes_root(hashes),
            created=self._created,
            spent=self._spent,
            calls_made=self._calls_made or bool(events),
        )


def _size_bytes(events: list[Event]) -> int:
    return sum([len(event.contract) + len(event.name) + len(event.data) + 8 for event in events])
