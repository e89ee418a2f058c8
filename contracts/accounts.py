"""Contract ``accounts``: names that outputs can be locked to, each with its owner organisation and lock.

An account's lock never changes: what stands on an account was agreed under the lock that both parties saw. Records:
``a ‖ name`` → account.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.codes import CONTRACT_UNKNOWN, LOCK_INVALID, Refusal
from contracts.interface import Account, CallContext, Contract, EndContext, lock_of, method, view
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidGenesis, InvalidLock, NotFound
from ledger.genesis import Genesis
from ledger.lock import AccountLock, ContractLock, Lock, check_name, parse_lock
from ledger.state import StateReader, contract_prefix

MAX_PAGE: Final = 200
_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class AccountRecord(Record, frozen=True):
    """A named account as stored and shown."""

    name: _Name
    organisation: _Name
    lock: Annotated[str, Meta(min_length=1, max_length=2048)]


account_codec = Codec(AccountRecord, 4_096, "account")


class OpenArguments(Record, frozen=True):
    """A new account of the sender's organisation."""

    name: _Name
    lock: Annotated[str, Meta(min_length=1, max_length=2048)]


class NameArguments(Record, frozen=True):
    """Names an account."""

    name: _Name


class PageArguments(Record, frozen=True):
    """A page of accounts, from ``after`` (exclusive) on, in byte order of their names."""

    after: Annotated[str, Meta(max_length=128)]
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class AccountPage(Record, frozen=True):
    """Accounts in order."""

    accounts: tuple[AccountRecord, ...]


class Accounts(Contract):
    """See the module."""

    kind = "accounts"

    def genesis(self, context: EndContext, genesis: Genesis) -> None:
        """Stores the accounts of the genesis file."""
        for doc in genesis.accounts:
            try:
                record = AccountRecord(check_name(doc.name), check_name(doc.organisation, "organisation"), doc.lock)
                _check_lock(parse_lock(doc.lock))
            except (InvalidLock, Refusal) as error:
                raise InvalidGenesis(f"genesis: account {doc.name!r}: {error.message}") from error
            context.state.put(b"a" + record.name.encode(), encode(record))

    @method
    def open(self, context: CallContext, arguments: OpenArguments) -> None:
        """Opens an account of the sender's organisation; its lock stays for ever."""
        try:
            check_name(arguments.name, "account")
        except InvalidLock as error:
            raise Refusal("account_name_invalid", error.message) from error
        lock = lock_of(arguments.lock)
        _check_lock(lock)
        for part in lock.walk():
            if isinstance(part, ContractLock):
                raise Refusal(CONTRACT_UNKNOWN, "an account's lock names keys, not contracts")
        key = b"a" + arguments.name.encode()
        if context.state.get(key) is not None:
            raise Refusal("account_exists", f"there is an account {arguments.name!r} already")
        record = AccountRecord(arguments.name, context.sender.organisation, arguments.lock)
        context.state.put(key, encode(record))
        context.emit("account_opened", record)

    @view
    def account(self, context: EndContext, arguments: NameArguments) -> AccountRecord:
        """One account."""
        data = context.state.get(b"a" + arguments.name.encode())
        if data is None:
            raise NotFound(f"there is no account {arguments.name!r}")
        return account_codec.decode(data)

    @view
    def accounts(self, context: EndContext, arguments: PageArguments) -> AccountPage:
        """The accounts, page by page."""
        start = b"a" + arguments.after.encode() + b"\x00" if arguments.after else None
        page = context.state.iterate(b"a", start=start, limit=arguments.limit)
        return AccountPage(tuple(account_codec.decode(data) for _, data in page))


def _check_lock(lock: Lock) -> None:
    if any(isinstance(part, AccountLock) for part in lock.walk()):
        raise Refusal(LOCK_INVALID, "an account's lock cannot name an account: account locks do not nest")


def find_account(state: StateReader, address: str, name: str) -> Account | None:
    """The account ``name`` of the accounts contract at ``address``, or None."""
    data = state.get(contract_prefix(address) + b"a" + name.encode())
    if data is None:
        return None
    record = account_codec.decode(data)
    return Account(record.name, record.organisation, parse_lock(record.lock))
