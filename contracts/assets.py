"""Contract ``assets``: which assets exist, who issues them, how much there is.

Moving an asset needs no call: a transaction's inputs and outputs say it. Records: ``a ‖ asset`` → asset.
Assets named ``ADDRESS:…`` belong to the contract at that address and are not kept here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final

from msgspec import Meta

from contracts.codes import ASSET_UNKNOWN, NOT_PERMITTED, Refusal
from contracts.interface import CallContext, Contract, EndContext, method, view
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidGenesis, InvalidLock, InvalidSignature, NotFound
from ledger.genesis import Genesis
from ledger.keys import check_public_key, parse_key
from ledger.lock import check_name
from ledger.state import StateReader, contract_prefix
from ledger.types import MAX_AMOUNT

MAX_ISSUERS: Final = 16
MAX_SCALE: Final = 8
MAX_PAGE: Final = 200
MAX_NAME_LENGTH: Final = 64
_Asset = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
_Amount = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
_Issuers = Annotated[tuple[Annotated[bytes, Meta(min_length=33, max_length=33)], ...], Meta(max_length=MAX_ISSUERS)]


class AssetRecord(Record, frozen=True):
    """An asset as stored and shown.

    Attributes:
        asset: its name.
        issuers: keys that may issue it, sorted.
        scale: decimal places that people see; one major unit is ``10 ** scale`` minor units.
        supply: minor units in existence.
    """

    asset: _Asset
    issuers: _Issuers
    scale: Annotated[int, Meta(ge=0, le=MAX_SCALE)]
    supply: Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]


asset_codec = Codec(AssetRecord, 4_096, "asset")


class DefineArguments(Record, frozen=True):
    """A new asset; ``issuers`` sorted and distinct."""

    asset: _Asset
    issuers: _Issuers
    scale: Annotated[int, Meta(ge=0, le=MAX_SCALE)]


class AmountArguments(Record, frozen=True):
    """An amount of an asset."""

    asset: _Asset
    amount: _Amount


class AssetArguments(Record, frozen=True):
    """Names an asset."""

    asset: _Asset


class PageArguments(Record, frozen=True):
    """A page of assets, from ``after`` (exclusive) on."""

    after: Annotated[str, Meta(max_length=64)]
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class AssetPage(Record, frozen=True):
    """Assets in order."""

    assets: tuple[AssetRecord, ...]


class Assets(Contract):
    """See the module."""

    kind = "assets"

    def genesis(self, context: EndContext, genesis: Genesis) -> None:
        """Stores the assets of the genesis file with the supply that exists from the start."""
        for doc in genesis.assets:
            try:
                issuers = tuple(sorted(parse_key(text) for text in doc.issuers))
                _check_definition(doc.asset, issuers)
            except (InvalidSignature, Refusal) as error:
                raise InvalidGenesis(f"genesis: asset {doc.asset!r}: {error.message}") from error
            supply = sum(item.amount for item in doc.supply)
            if not 0 <= supply <= MAX_AMOUNT or not 0 <= doc.scale <= MAX_SCALE or len(issuers) > MAX_ISSUERS:
                raise InvalidGenesis(f"genesis: asset {doc.asset!r}: supply, scale or number of issuers out of bounds")
            if len(doc.asset) > MAX_NAME_LENGTH:
                raise InvalidGenesis(f"genesis: asset {doc.asset!r}: a name has at most {MAX_NAME_LENGTH} characters")
            context.state.put(_key(doc.asset), encode(AssetRecord(doc.asset, issuers, doc.scale, supply)))

    @method
    def define(self, context: CallContext, arguments: DefineArguments) -> None:
        """Defines an asset; its issuers and scale stay for ever."""
        _check_definition(arguments.asset, arguments.issuers)
        if context.state.get(_key(arguments.asset)) is not None:
            raise Refusal("asset_exists", f"there is an asset {arguments.asset!r} already")
        record = AssetRecord(arguments.asset, arguments.issuers, arguments.scale, 0)
        context.state.put(_key(arguments.asset), encode(record))
        context.emit("asset_defined", record)

    @method
    def issue(self, context: CallContext, arguments: AmountArguments) -> None:
        """Adds an amount to what the outputs may hold; needs an issuer's signature."""
        record = self._asset(context, arguments.asset)
        # No short cut: every issuer's signature that is there counts as needed.
        if not [issuer for issuer in record.issuers if context.signed_by(issuer)]:
            raise Refusal(NOT_PERMITTED, f"only an issuer of {record.asset} may issue it")
        supply = record.supply + arguments.amount
        if supply > MAX_AMOUNT:
            raise Refusal("asset_supply_exceeded", f"{record.asset} cannot have more than {MAX_AMOUNT} minor units")
        context.state.put(_key(record.asset), encode(AssetRecord(record.asset, record.issuers, record.scale, supply)))
        context.issued[record.asset] = context.issued.get(record.asset, 0) + arguments.amount
        context.emit("asset_issued", arguments)

    @method
    def destroy(self, context: CallContext, arguments: AmountArguments) -> None:
        """Takes an amount out of what the inputs hold; whoever may spend the inputs may destroy them."""
        record = self._asset(context, arguments.asset)
        supply = record.supply - arguments.amount
        if supply < 0:
            raise Refusal("asset_supply_exceeded", f"there are only {record.supply} minor units of {record.asset}")
        context.state.put(_key(record.asset), encode(AssetRecord(record.asset, record.issuers, record.scale, supply)))
        context.destroyed[record.asset] = context.destroyed.get(record.asset, 0) + arguments.amount
        context.emit("asset_destroyed", arguments)

    @view
    def asset(self, context: EndContext, arguments: AssetArguments) -> AssetRecord:
        """One asset."""
        data = context.state.get(_key(arguments.asset))
        if data is None:
            raise NotFound(f"there is no asset {arguments.asset!r}")
        return asset_codec.decode(data)

    @view
    def assets(self, context: EndContext, arguments: PageArguments) -> AssetPage:
        """The assets, page by page."""
        start = _key(arguments.after) + b"\x00" if arguments.after else None
        page = context.state.iterate(b"a", start=start, limit=arguments.limit)
        return AssetPage(tuple(asset_codec.decode(data) for _, data in page))

    def _asset(self, context: CallContext, asset: str) -> AssetRecord:
        data = context.state.get(_key(asset))
        if data is None:
            raise Refusal(ASSET_UNKNOWN, f"there is no asset {asset!r}")
        return asset_codec.decode(data)


def _key(asset: str) -> bytes:
    return b"a" + asset.encode()


def _check_definition(asset: str, issuers: tuple[bytes, ...]) -> None:
    try:
        check_name(asset, "asset")
        for issuer in issuers:
            check_public_key(issuer)
    except (InvalidLock, InvalidSignature) as error:
        raise Refusal("asset_definition_invalid", error.message) from error
    if ":" in asset:
        raise Refusal("asset_definition_invalid", "a colon in an asset's name is kept for assets of contracts")
    if any(a >= b for a, b in pairwise(issuers)):
        raise Refusal("asset_definition_invalid", "issuers must be sorted and distinct")


def is_defined(state: StateReader, address: str, asset: str) -> bool:
    """True when ``asset`` is defined in the assets contract at ``address``."""
    return state.get(contract_prefix(address) + _key(asset)) is not None
