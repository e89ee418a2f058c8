"""Transport keys and peer ids; libp2p itself is the reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidConfig, MalformedBytes
from p2p.identity import TransportKey, peer_id_of_public_key, public_key_of_peer_id


@given(st.binary(min_size=32, max_size=32))
def test_peer_id_is_the_one_that_libp2p_computes(seed: bytes) -> None:
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.peer.id import ID

    key = TransportKey(seed)
    assert key.peer_id == str(ID.from_pubkey(create_new_key_pair(seed).public_key))
    assert key.peer_id.startswith("12D3Koo")
    assert public_key_of_peer_id(key.peer_id) == key.public_key


@given(st.binary(min_size=32, max_size=32))
def test_peer_id_and_public_key_convert_both_ways(public_key: bytes) -> None:
    assert public_key_of_peer_id(peer_id_of_public_key(public_key)) == public_key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12D3KooW",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "0" * 52,
        "z" * 52,
        "1" * 52,
        "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5x",
        "é" * 52,
    ],
)
def test_text_that_is_no_ed25519_peer_id_is_refused(text: str) -> None:
    with pytest.raises(MalformedBytes):
        public_key_of_peer_id(text)


@given(st.text(max_size=60))
def test_any_text_is_refused_or_converts_back(text: str) -> None:
    try:
        public_key = public_key_of_peer_id(text)
    except MalformedBytes:
        return
    assert peer_id_of_public_key(public_key) == text


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(InvalidConfig):
        TransportKey(bytes(31))
    with pytest.raises(MalformedBytes):
        peer_id_of_public_key(bytes(33))


def test_key_does_not_show_its_seed() -> None:
    seed = b"\xab" * 32
    assert "ab" * 4 not in repr(TransportKey(seed)).lower()
    assert TransportKey(seed).seed == seed
