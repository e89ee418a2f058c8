"""Who may connect, by certificates that begin, end, and are renewed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.admission import certificate_codec
from contracts.admission.calls import RevocationRecord
from contracts.rules import Rules
from ledger.admission import AdmissionCertificate, Revocation
from ledger.encoding import encode
from ledger.keys import SigningKey
from ledger.state import StoredState, contract_prefix
from ledger.store import Kind
from ledger.store_memory import MemoryStore
from ledger.types import Hash32
from node.membership import Membership
from p2p.identity import TransportKey
from tests.contracts.bench import VALIDATOR, Bench

NOW = 1_000


class Register:
    """An admission register of any certificates."""

    def __init__(self, *bootstrap: str) -> None:
        self.rules = Bench().rules
        self.store = MemoryStore()
        self.membership = Membership(self.rules, frozenset([VALIDATOR.public]), bootstrap)
        self.serial = 0

    def admit(
        self, key: SigningKey, transport: TransportKey | None, organisation: str, first: int = 0, last: int = 2_000
    ) -> None:
        self.serial += 1
        raw = b"" if transport is None else transport.public_key
        record = AdmissionCertificate(bytes(32), self.serial, key.public, raw, organisation, ("observer",), first, last)
        self.store.write({Kind.STATE + contract_prefix("admission") + b"k" + key.public: encode(record)})

    def revoke(self, key: SigningKey) -> None:
        """Moves the key's certificate among the revoked ones."""
        prefix = Kind.STATE + contract_prefix("admission")
        data = self.store.get(prefix + b"k" + key.public)
        certificate = None if data is None else certificate_codec.decode(data)
        record = RevocationRecord(Revocation(bytes(32), key.public, self.serial + 1, "x"), 1, certificate)
        self.store.write({prefix + b"r" + key.public: encode(record), prefix + b"k" + key.public: None})

    def on_block(self, *keys: SigningKey, time_ms: int = NOW) -> bool:
        """A block that has touched these keys' records, and much else."""
        prefix = contract_prefix("admission")
        changed = {prefix + kind + key.public for kind in (b"k", b"r") for key in keys}
        changed |= {prefix + b"s" + bytes(8), b"u" + bytes(36), contract_prefix("accounts") + b"k", b"zz"}
        return self.membership.on_block([(key, bytes(32)) for key in sorted(changed)], time_ms)

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
    membership = Membership(Rules(Hash32(bytes(32)), {}, 1), frozenset([VALIDATOR.public]))
    membership.refresh(StoredState(MemoryStore()), NOW)
    assert not membership.allowed(transport(1).peer_id)


# --- block by block ---------------------------------------------------------------------------------------------------


def test_block_brings_a_node_in_when_it_admits_it(register: Register) -> None:
    register.refresh()
    register.admit(key(1), transport(1), "a")
    assert not register.membership.allowed(transport(1).peer_id)
    assert register.on_block(key(1))
    assert register.membership.allowed(transport(1).peer_id)
    assert register.membership.peers_of_organisation("a") == [transport(1).peer_id]


def test_block_changes_nothing_when_it_touches_no_node(register: Register) -> None:
    register.admit(key(1), transport(1), "a")
    register.refresh()
    register.admit(key(2), None, "patients")
    assert not register.on_block(key(2), time_ms=NOW + 1)
    assert not register.on_block()
    assert not register.on_block(key(1))
    assert register.membership.organisation_of(key(2).public) == "patients"


def test_block_puts_a_node_out_when_it_revokes_it(register: Register) -> None:
    register.admit(key(1), transport(1), "a")
    register.refresh()
    register.revoke(key(1))
    assert register.on_block(key(1))
    assert not register.membership.allowed(transport(1).peer_id)
    register.admit(key(1), transport(1), "a")
    assert register.on_block(key(1))
    assert register.membership.allowed(transport(1).peer_id)


@pytest.mark.parametrize("anew", [False, True])
def test_bootstrap_peer_is_out_when_it_was_revoked(anew: bool) -> None:
    register = Register(transport(1).peer_id)
    register.admit(key(1), transport(1), "a", 0, NOW - 1)
    assert register.refresh().allowed(transport(1).peer_id)
    register.revoke(key(1))
    assert register.on_block(key(1))
    membership = register.refresh() if anew else register.membership
    assert not membership.allowed(transport(1).peer_id)
    register.admit(key(2), transport(1), "a")
    register.on_block(key(2))
    assert membership.allowed(transport(1).peer_id)


@pytest.mark.parametrize("anew", [False, True])
def test_validator_stays_in_when_it_was_revoked(register: Register, anew: bool) -> None:
    register.admit(VALIDATOR, transport(1), "a")
    register.refresh()
    register.revoke(VALIDATOR)
    register.on_block(VALIDATOR)
    membership = register.refresh() if anew else register.membership
    assert membership.allowed(transport(1).peer_id)
    assert membership.peer_of(VALIDATOR.public) == transport(1).peer_id


def test_node_is_known_by_its_new_place_alone_when_it_was_revoked_before(register: Register) -> None:
    register.admit(key(1), transport(1), "a")
    register.revoke(key(1))
    register.admit(key(1), transport(2), "a")
    membership = register.refresh()
    assert membership.node(transport(1).peer_id) is None
    assert membership.allowed(transport(2).peer_id)


def test_certificate_ends_when_a_block_is_later_than_it(register: Register) -> None:
    register.admit(key(1), transport(1), "a", 0, NOW)
    register.refresh()
    register.on_block(time_ms=NOW + 1)
    assert not register.membership.allowed(transport(1).peer_id)


def test_validator_is_named_when_its_certificate_has_lapsed(register: Register) -> None:
    assert register.refresh().lapsed_validators() == (VALIDATOR.public,)
    register.admit(VALIDATOR, transport(1), "a", 0, NOW)
    assert register.refresh().lapsed_validators() == ()
    register.on_block(time_ms=NOW + 1)
    assert register.membership.lapsed_validators() == (VALIDATOR.public,)
    register.admit(VALIDATOR, transport(1), "a")
    register.on_block(VALIDATOR)
    assert register.membership.lapsed_validators() == ()
    register.revoke(VALIDATOR)
    register.on_block(VALIDATOR)
    assert register.membership.lapsed_validators() == (VALIDATOR.public,)


def test_node_moves_when_its_new_certificate_has_another_transport_key(register: Register) -> None:
    register.admit(key(1), transport(1), "a")
    register.refresh()
    register.admit(key(1), transport(2), "b")
    assert register.on_block(key(1))
    membership = register.membership
    assert [membership.allowed(transport(number).peer_id) for number in (1, 2)] == [False, True]
    assert membership.peers_of_organisation("a") == []
    assert membership.node(transport(1).peer_id) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.one_of(st.none(), st.tuples(st.integers(1, 3), st.booleans()))), max_size=12
    )
)
def test_following_blocks_leads_where_reading_everything_leads(
    steps: list[tuple[int, tuple[int, bool] | None]],
) -> None:
    followed = Register(transport(3).peer_id)
    followed.refresh()
    for signing, what in steps:
        if what is None:
            followed.revoke(key(signing))
        else:
            node, valid = what
            followed.admit(key(signing), transport(node), f"organisation {signing}", 0, 2_000 if valid else NOW - 1)
        followed.on_block(key(signing))
    fresh = Membership(followed.rules, frozenset([VALIDATOR.public]), [transport(3).peer_id])
    fresh.refresh(StoredState(followed.store), NOW)
    for number in range(1, 5):
        peer = transport(number).peer_id
        assert followed.membership.allowed(peer) == fresh.allowed(peer)
        assert followed.membership.node(peer) == fresh.node(peer)
        assert followed.membership.peer_of(key(number).public) == fresh.peer_of(key(number).public)
        name = f"organisation {number}"
        assert followed.membership.peers_of_organisation(name) == fresh.peers_of_organisation(name)


def test_block_costs_what_it_changed_when_many_persons_are_admitted(register: Register) -> None:
    for number in range(2_000):
        register.admit(SigningKey(number.to_bytes(32, "big")), None, "patients")
    register.refresh()
    reads = 0

    class Counting(StoredState):
        def get(self, state_key: bytes) -> bytes | None:
            nonlocal reads
            reads += 1
            return super().get(state_key)

        def iterate(self, *arguments: object, **options: object) -> Iterator[tuple[bytes, bytes]]:
            raise AssertionError("the whole register is read again")

    register.membership._state = Counting(register.store)
    register.admit(key(1), transport(1), "a")
    assert register.on_block(key(1))
    assert reads <= 2
    assert not register.on_block(*[SigningKey(number.to_bytes(32, "big")) for number in range(64)])
    assert reads <= 2 + 2 * 64
