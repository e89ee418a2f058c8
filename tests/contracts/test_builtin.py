"""What a genesis file makes of a chain, and the genesis files that begin none."""

from __future__ import annotations

import msgspec
import pytest

from contracts.builtin import build_rules, genesis_block
from ledger.admission import sign_certificate
from ledger.block import block_id
from ledger.errors import InvalidGenesis
from ledger.genesis import AccountDoc, AssetDoc, ContractDoc, Genesis, SupplyDoc, certificate_doc
from ledger.keys import key_text
from ledger.state import StoredState
from ledger.state_root import state_root
from ledger.store import Kind
from ledger.store_memory import MemoryStore
from ledger.transaction import Output
from ledger.types import MAX_AMOUNT
from tests.contracts.bench import ALICE, AUTHORITY, BOB, CNY, SUPPLY, Bench, certificates, lock, make_genesis


def begin(genesis: Genesis) -> bytes:
    """Root of the state that the chain begins with."""
    store = MemoryStore()
    header, result = genesis_block(genesis, build_rules(genesis), StoredState(store))
    assert (header.height, header.time_ms, header.parent) == (0, genesis.created_ms, genesis.hash)
    store.write({Kind.STATE + key: value for key, value in result.writes.items()})
    return state_root(StoredState(store))


def contracts(*pairs: tuple[str, str], version: int = 1) -> tuple[ContractDoc, ...]:
    return tuple(ContractDoc(address=address, kind=kind, version=version) for address, kind in pairs)


STANDARD = (("admission", "admission"), ("accounts", "accounts"), ("assets", "assets"))


def test_two_nodes_begin_with_the_same_block_when_the_file_is_the_same() -> None:
    first, second = make_genesis(), make_genesis()
    assert begin(first) == begin(second)
    headers = [genesis_block(g, build_rules(g), StoredState(MemoryStore()))[0] for g in (first, second)]
    assert block_id(headers[0]) == block_id(headers[1])


def test_supply_lies_under_the_locks_of_the_file_when_the_chain_begins() -> None:
    bench = Bench()
    assert bench.output(bench.coin(0)) == Output(CNY, SUPPLY, lock(ALICE))
    assert bench.output(bench.coin(6)) == Output(CNY, SUPPLY, lock(BOB))
    assert bench.totals() == {asset: bench.supply(asset) for asset in bench.totals()}


def test_contracts_stand_at_the_addresses_of_the_file_when_these_are_unusual() -> None:
    named = contracts(("门禁", "admission"), ("conti", "accounts"), ("values", "assets"))
    bench = Bench(genesis=make_genesis(contracts=named))
    assert list(bench.rules.contracts) == ["门禁", "conti", "values"]
    assert bench.code(bench.pay(0)) == "ok"
    assert bench.view("values", "asset", CNY).supply == bench.totals()[CNY]


def _asset(**changes: object) -> tuple[AssetDoc, ...]:
    return (msgspec.structs.replace(AssetDoc(asset="X", issuers=(), scale=2), **changes),)


def _supply(*amounts: int, text: str | None = None) -> tuple[SupplyDoc, ...]:
    return tuple(SupplyDoc(amount=amount, lock=lock(ALICE) if text is None else text) for amount in amounts)


REFUSED = {
    "unknown kind": {"contracts": contracts(*STANDARD, ("x", "lottery"))},
    "unknown version": {"contracts": contracts(*STANDARD, version=2)},
    "version zero": {"contracts": contracts(*STANDARD, version=0)},
    "no admission": {"contracts": contracts(*STANDARD[1:])},
    "no accounts": {"contracts": contracts(STANDARD[0], STANDARD[2])},
    "no assets": {"contracts": contracts(*STANDARD[:2])},
    "no contracts": {"contracts": ()},
    "two of a required kind": {"contracts": contracts(*STANDARD, ("assets2", "assets"))},
    "colon in an address": {"contracts": contracts(*STANDARD[:2], ("my:assets", "assets"))},
    "long address": {"contracts": contracts(*STANDARD[:2], ("a" * 49, "assets"))},
    "supply of nothing": {"assets": _asset(supply=_supply(0))},
    "negative supply": {"assets": _asset(supply=_supply(-1, 5))},
    "supply too large": {"assets": _asset(supply=_supply(MAX_AMOUNT + 1))},
    "sum of supply too large": {"assets": _asset(supply=_supply(MAX_AMOUNT, 1))},
    "supply under a bad lock": {"assets": _asset(supply=_supply(1, text="nonsense"))},
    "supply on no account": {"assets": _asset(supply=_supply(1, text="account(nobody)"))},
    "supply of no contract": {"assets": _asset(supply=_supply(1, text="contract(nothing)"))},
    "scale too fine": {"assets": _asset(scale=9)},
    "negative scale": {"assets": _asset(scale=-1)},
    "bad issuer": {"assets": _asset(issuers=("ed25519:zz",))},
    "doubled issuer": {"assets": _asset(issuers=(key_text(ALICE.public),) * 2)},
    "long asset name": {"assets": _asset(asset="X" * 65, supply=_supply(5))},
    "asset of a contract": {"assets": _asset(asset="commission:claim")},
    "account in an account": {"accounts": (AccountDoc(name="a", organisation="b", lock="account(a)"),)},
    "account with a bad lock": {"accounts": (AccountDoc(name="a", organisation="b", lock="?"),)},
    "account of nobody": {"accounts": (AccountDoc(name="a", organisation="", lock="after(1)"),)},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED.keys())
def test_no_chain_begins_when_the_genesis_file_asks_for_what_cannot_be(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidGenesis):
        begin(make_genesis(**changes))


def _certified(**changes: object) -> Genesis:
    """A genesis whose last certificate the authority really signed with these changes."""
    genesis = make_genesis()
    *others, last = certificates(genesis.chain_id)
    signed = sign_certificate(msgspec.structs.replace(last, **changes), [AUTHORITY])
    docs = [certificate_doc(sign_certificate(certificate, [AUTHORITY])) for certificate in others]
    return msgspec.structs.replace(genesis, certificates=(*docs, certificate_doc(signed)))


@pytest.mark.parametrize(
    "changes",
    [{"serial": 0}, {"serial": -1}, {"serial": 2**53}, {"roles": ()}, {"not_before_ms": -1}, {"not_after_ms": 2**53}],
    ids=str,
)
def test_no_chain_begins_when_a_certificate_could_not_be_read_again(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidGenesis):
        begin(_certified(**changes))


@pytest.mark.parametrize("created_ms", [-1, 2**53])
def test_no_chain_begins_when_its_first_header_could_not_be_read_again(created_ms: int) -> None:
    with pytest.raises(InvalidGenesis):
        begin(msgspec.structs.replace(make_genesis(), created_ms=created_ms))


def test_issuers_may_stand_in_any_order_when_the_file_is_written_by_hand() -> None:
    keys = sorted((ALICE.public, BOB.public), reverse=True)
    bench = Bench(genesis=make_genesis(assets=_asset(issuers=tuple(map(key_text, keys)))))
    assert bench.view("assets", "asset", "X").issuers == tuple(sorted(keys))


def test_state_differs_when_the_file_differs_in_what_it_stores() -> None:
    more = make_genesis(accounts=(AccountDoc(name="a", organisation="b", lock="after(1)"),))
    assert begin(more) != begin(make_genesis())
