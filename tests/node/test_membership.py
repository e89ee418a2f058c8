"""Who may connect, by certificates that begin, end, and are renewed."""

from __future__ import annotations

import pytest

from contracts.rules import Rules
from ledger.admission import AdmissionCertificate
from ledger.encoding import encode
from ledger.keys import SigningKey
from ledger.state import StoredState, contract_prefix
from ledger.store import Kind
from ledger.store_memory import MemoryStore
from ledger.types import Hash32
from ledger.validators import ValidatorSet
from node.membership import Membership
from p2p.identity import TransportKey
from tests.contracts.bench import VALIDATOR, Bench

NOW = 1_000


class Register:
    """An admission register of any certificates."""

    def __init__(self, *bootstrap: str) -> None:
        self.rules = Bench().rules
        self.store = MemoryStore()
        self.membership = Membership(self.rules, ValidatorSet([VALIDATOR.public]), bootstrap)
        self.serial = 0

    def admit(
        self, key: SigningKey, transport: TransportKey | None, organisation: str, first: int = 0, last: int = 2_000
    ) -> None:
        self.serial += 1
        raw = b"" if transport is None else transport.public_key
        record = AdmissionCertificate(bytes(32), self.serial, key.public, raw, organisation, ("observer",), first, last)
        self.store.write({Kind.STATE + contract_prefix("admission") + b"k" + key.public: encode(record)})

    def refresh(self, time_ms: int = NOW) -> Membership:
        self.membership.refresh(StoredState(self.store), time_ms)
        return self.membership


def key(number: int) -> SigningKey:
    return SigningKey(bytes([number]) * 32)


def transport(number: int) -> TransportKey:
    return TransportKey(bytes([number]) * 32)


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.mark.parametrize(("time_ms", "allowed"), [(499, False), (500, True), (1_500, True), (1_501, False)])
def test_peer_may_connect_only_when_its_certificate_is_valid(register: Register, time_ms: int, allowed: bool) -> None:
    register.admit(key(1), transport(1), "a", 500, 1_500)
    assert register.refresh(time_ms).allowed(transport(1).peer_id) is allowed
    membership = register.refresh(500)
    membership.time_ms = time_ms
    assert membership.allowed(transport(1).peer_id) is allowed


@pytest.mark.parametrize("time_ms", [0, 5_000])
def test_validator_stays_in_when_its_certificate_has_ended(register: Register, time_ms: int) -> None:
    register.admit(VALIDATOR, transport(1), "a", 500, 1_500)
    register.admit(key(2), transport(2), "a", 500, 1_500)
    membership = register.refresh(time_ms)
    assert membership.allowed(transport(1).peer_id)
    assert not membership.allowed(transport(2).peer_id)


def test_stranger_may_not_connect_when_nobody_named_it(register: Register) -> None:
    register.admit(key(1), transport(1), "a")
    membership = register.refresh()
    assert not membership.allowed(transport(2).peer_id)
    assert membership.node(transport(2).peer_id) is None
    assert membership.peer_of(key(2).public) is None
    assert membership.organisation_of(key(2).public) is None


def test_bootstrap_peer_may_connect_when_our_state_does_not_know_it() -> None:
    register = Register(transport(7).peer_id)
    assert register.membership.allowed(transport(7).peer_id)
    assert register.refresh().allowed(transport(7).peer_id)
    assert not register.membership.allowed(transport(8).peer_id)


def test_names_lead_to_each_other_when_a_node_is_admitted(register: Register) -> None:
    register.admit(key(1), transport(1), "a")
    register.admit(key(2), transport(2), "a")
    register.admit(key(3), None, "b")
    membership = register.refresh()
    node = membership.node(transport(1).peer_id)
    assert (node.key, node.organisation) == (key(1).public, "a")
    assert membership.peer_of(key(2).public) == transport(2).peer_id
    assert membership.peer_of(key(3).public) is None
    assert membership.organisation_of(key(3).public) == "b"
    assert membership.peers_of_organisation("a") == sorted([transport(1).peer_id, transport(2).peer_id])
    assert membership.peers_of_organisation("b") == []


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 1)])
def test_node_stays_in_when_its_new_certificate_has_another_signing_key(register: Register, old: int, new: int) -> None:
    register.admit(key(old), transport(9), "a", 0, NOW - 1)
    register.admit(key(new), transport(9), "a", NOW, 2_000)
    membership = register.refresh()
    assert membership.allowed(transport(9).peer_id)
    assert membership.node(transport(9).peer_id).key == key(new).public


def test_certificate_is_gone_when_the_register_is_read_again(register: Register) -> None:
    register.admit(key(1), transport(1), "a")
    assert register.refresh().allowed(transport(1).peer_id)
    register.store.write({Kind.STATE + contract_prefix("admission") + b"k" + key(1).public: None})
    assert not register.refresh().allowed(transport(1).peer_id)


def test_nobody_is_let_in_when_the_chain_has_no_admission_contract() -> None:
    membership = Membership(Rules(Hash32(bytes(32)), {}, 1), ValidatorSet([VALIDATOR.public]))
    membership.refresh(StoredState(MemoryStore()), NOW)
    assert not membership.allowed(transport(1).peer_id)
