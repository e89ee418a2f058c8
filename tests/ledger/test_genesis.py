"""Genesis files: what begins a chain, and everything that must not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.errors import InvalidGenesis
from ledger.genesis import (
    MAX_GENESIS_BYTES,
    PARAMETER_BOUNDS,
    AccountDoc,
    AssetDoc,
    ContractDoc,
    Genesis,
    Parameters,
    PolicyDoc,
    SupplyDoc,
    certificate_doc,
    chain_id_of,
    format_genesis,
    genesis_time,
    parse_genesis,
)
from ledger.keys import SigningKey, key_text
from ledger.rotation import RotationDoc

AUTHORITY, SECOND, NODE, MEMBER = (SigningKey(bytes([number]) * 32) for number in range(1, 5))
LOCK = f"key({key_text(AUTHORITY.public)})"


def certificate(key: SigningKey = NODE, serial: int = 1, chain_id: bytes | None = None, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "chain_id": chain_id or chain_id_of("test", 1_000, "0" * 32, LOCK),
        "serial": serial,
        "key": key.public,
        "transport": b"t" * 32,
        "organisation": "A",
        "roles": ("validator",),
        "not_before_ms": 0,
        "not_after_ms": 2**50,
    }
    return certificate_doc(sign_certificate(AdmissionCertificate(**(fields | changes)), [AUTHORITY]))


def genesis(**changes: Any) -> Genesis:
    fields: dict[str, Any] = {
        "name": "test",
        "created_ms": 1_000,
        "salt": "0" * 32,
        "suite": "ed25519-sha256",
        "authority": LOCK,
        "validators": (key_text(NODE.public),),
        "certificates": (certificate(), certificate(MEMBER, 2, transport=b"", roles=("member",))),
        "assets": (AssetDoc(asset="CNY", issuers=(), supply=(SupplyDoc(amount=5, lock=LOCK),)),),
        "accounts": (AccountDoc(name="till", organisation="A", lock=LOCK),),
        "contracts": (ContractDoc(address="assets", kind="assets"),),
    }
    return Genesis(**(fields | changes))


GOOD = genesis()


def test_file_says_the_same_when_it_is_written_and_read_again() -> None:
    text = format_genesis(GOOD)
    again = parse_genesis(text)
    assert again == GOOD
    assert (again.hash, again.chain_id) == (GOOD.hash, GOOD.chain_id)
    assert format_genesis(again) == text
    assert text.endswith(b"\n")


def test_hash_is_of_the_content_when_people_arrange_the_text_otherwise() -> None:
    document = json.loads(format_genesis(GOOD))
    shuffled = json.dumps(dict(reversed(document.items())), indent=None).encode()
    assert parse_genesis(shuffled).hash == GOOD.hash


def test_defaults_are_part_of_the_hash_when_they_are_left_out() -> None:
    document = json.loads(format_genesis(GOOD))
    del document["parameters"]
    assert parse_genesis(json.dumps(document).encode()).hash == GOOD.hash


OTHER: dict[str, Any] = {
    "name": "other",
    "created_ms": 1_001,
    "salt": "1" * 32,
    "suite": "other",
    "authority": f"key({key_text(SECOND.public)})",
    "validators": (key_text(MEMBER.public),),
    "certificates": GOOD.certificates[:1],
    "assets": (),
    "accounts": (),
    "contracts": (),
    "policies": (PolicyDoc(name="officers", lock=f"key({key_text(SECOND.public)})"),),
    "parameters": Parameters(base_timeout_ms=1_001),
    "rotation": RotationDoc(committee=4, epoch_blocks=50),
}


@pytest.mark.parametrize("field", Genesis.__struct_fields__)
def test_hash_differs_when_a_field_differs(field: str) -> None:
    assert msgspec.structs.replace(GOOD, **{field: OTHER[field]}).hash != GOOD.hash


@pytest.mark.parametrize("name", Parameters.__struct_fields__)
def test_hash_differs_when_a_parameter_differs(name: str) -> None:
    value = getattr(GOOD.parameters, name) + 1
    changed = msgspec.structs.replace(GOOD, parameters=Parameters(**{name: value}))
    assert changed.hash != GOOD.hash
    assert changed.chain_id == GOOD.chain_id


@pytest.mark.parametrize("field", ["name", "created_ms", "salt", "authority"])
def test_chain_id_differs_when_what_names_the_chain_differs(field: str) -> None:
    assert msgspec.structs.replace(GOOD, **{field: OTHER[field]}).chain_id != GOOD.chain_id


def test_hash_differs_when_a_nested_field_differs() -> None:
    for changed in (
        genesis(assets=(AssetDoc(asset="CNY", issuers=(), supply=(SupplyDoc(amount=6, lock=LOCK),)),)),
        genesis(assets=(AssetDoc(asset="CNY", issuers=(), scale=3, supply=GOOD.assets[0].supply),)),
        genesis(accounts=(AccountDoc(name="till", organisation="B", lock=LOCK),)),
        genesis(contracts=(ContractDoc(address="assets", kind="assets", version=2),)),
        genesis(certificates=(certificate(organisation="B"), GOOD.certificates[1])),
    ):
        assert changed.hash != GOOD.hash


# --- refusals ---------------------------------------------------------------------------------------------------------


def edited(change: Callable[[dict[str, Any]], Any]) -> bytes:
    document = json.loads(format_genesis(GOOD))
    change(document)
    return json.dumps(document).encode()


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    *way, last, value = path

    def change(document: Any) -> None:
        for step in way:
            document = document[step]
        document[last] = value

    return change


def _remove(*path: Any) -> Callable[[dict[str, Any]], None]:
    *way, last = path

    def change(document: Any) -> None:
        for step in way:
            document = document[step]
        del document[last]

    return change


REFUSED: dict[str, Callable[[dict[str, Any]], None]] = {
    "unknown key": put("more", 1),
    "unknown parameter": put("parameters", "more", 1),
    "unknown key in an asset": put("assets", 0, "more", 1),
    "missing name": _remove("name"),
    "missing contracts": _remove("contracts"),
    "missing key in a certificate": _remove("certificates", 0, "serial"),
    "float time": put("created_ms", 1000.0),
    "text for a number": put("created_ms", "1000"),
    "bool for a number": put("parameters", "package_ms", True),
    "float parameter": put("parameters", "base_timeout_ms", 1e3),
    "null": put("assets", None),
    "object for a list": put("assets", {}),
    "empty name": put("name", ""),
    "name with a line feed": put("name", "a\nb"),
    "name with half a surrogate pair": put("name", "\ud800"),
    "short salt": put("salt", "0" * 31),
    "capital salt": put("salt", "A" * 32),
    "salt of other digits": put("salt", "٠" * 32),
    "unknown suite": put("suite", "sm2-sm3"),
    "bad authority": put("authority", "nobody"),
    "authority of time": put("authority", "after(0)"),
    "another authority": put("authority", f"key({key_text(SECOND.public)})"),
    "bad validator key": put("validators", 0, "ed25519:00"),
    "validator without certificate": put("validators", 0, key_text(SECOND.public)),
    "validator with a member's certificate": put("validators", 0, key_text(MEMBER.public)),
    "certificate without signatures": put("certificates", 0, "signatures", []),
    "signature of nonsense": put("certificates", 0, "signatures", 0, 1, "zz"),
    "forged signature": put("certificates", 0, "signatures", 0, 1, "01" + "00" * 64),
    "certificate changed after signing": put("certificates", 0, "organisation", "B"),
    "certificate with another key": put("certificates", 0, "key", key_text(SECOND.public)),
    "certificate with a transport key of nonsense": put("certificates", 0, "transport", "zz"),
    "certificate with a bad key": put("certificates", 0, "key", "nobody"),
    "two certificates alike": lambda d: d["certificates"].append(d["certificates"][0]),
    "asset twice": lambda d: d["assets"].append(d["assets"][0]),
    "account twice": lambda d: d["accounts"].append(d["accounts"][0]),
    "contract twice": lambda d: d["contracts"].append(d["contracts"][0]),
    "bad asset name": put("assets", 0, "asset", "a(b"),
    "bad account name": put("accounts", 0, "name", " till"),
    "bad contract address": put("contracts", 0, "address", ""),
}


WORDS = {
    # These also change the chain id, so that the certificates do not fit any more: the reason must be the right one.
    "empty name": "name",
    "name with a line feed": "name",
    "name with half a surrogate pair": "name",
    "float time": "created_ms",
    "text for a number": "created_ms",
    "short salt": "salt",
    "capital salt": "salt",
    "salt of other digits": "salt",
    "unknown suite": "suite",
    "bad authority": "lock",
    "validator without certificate": "no certificate",
    "validator with a member's certificate": "no certificate",
    "two certificates alike": "distinct",
    "asset twice": "asset",
    "account twice": "account",
    "contract twice": "contract",
}


@pytest.mark.parametrize("what", REFUSED)
def test_file_is_refused_with_the_reason_when_something_in_it_is_wrong(what: str) -> None:
    with pytest.raises(InvalidGenesis) as caught:
        parse_genesis(edited(REFUSED[what]))
    assert WORDS.get(what, "genesis") in caught.value.message


UNTYPED: dict[str, Callable[[dict[str, Any]], None]] = {
    "no validators": put("validators", []),
    "a validator twice": lambda d: d["validators"].append(d["validators"][0]),
    "time beyond 64 bits": put("created_ms", 2**70),
    "serial beyond 64 bits": put("certificates", 0, "serial", 2**70),
    "supply beyond 64 bits": put("assets", 0, "supply", 0, "amount", 2**70),
    "largest timeout below the first": put("parameters", "max_timeout_ms", 50),
}


@pytest.mark.parametrize("change", UNTYPED.values(), ids=UNTYPED.keys())
def test_file_is_refused_as_a_bad_genesis_when_a_value_is_out_of_bounds(
    change: Callable[[dict[str, Any]], None],
) -> None:
    with pytest.raises(InvalidGenesis):
        assert parse_genesis(edited(change)).hash


@pytest.mark.parametrize(("name", "low", "high"), [(name, *bounds) for name, bounds in PARAMETER_BOUNDS.items()])
def test_parameter_is_refused_when_it_is_one_beyond_its_bounds(name: str, low: int, high: int) -> None:
    for value in (low - 1, high + 1):
        with pytest.raises(InvalidGenesis) as caught:
            parse_genesis(edited(put("parameters", name, value)))
        assert name in caught.value.message
    for value in (low, high):

        def change(document: dict[str, Any], value: int = value) -> None:
            # The longest timeout may not be below the first: give the other one room.
            document["parameters"].update(base_timeout_ms=50, max_timeout_ms=3_600_000)
            document["parameters"][name] = value

        assert getattr(parse_genesis(edited(change)).parameters, name) == value


def test_every_parameter_has_bounds_when_it_is_a_number() -> None:
    assert set(PARAMETER_BOUNDS) == set(Parameters.__struct_fields__)


TEXT = format_genesis(GOOD)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b"\xff\xff",
        TEXT + b"x",
        TEXT[:-3],
        TEXT.replace(b'"name"', b'"name": "x", "name"', 1),
        TEXT.replace(b'"amount": 5', b'"amount": 5, "amount": 6', 1),
        TEXT.replace(b'"amount": 5', b'"amount": NaN', 1),
        TEXT.replace(b'"amount": 5', b'"amount": ' + b"9" * 5_000, 1),
        b"[" * 100_000,
        b" " * (MAX_GENESIS_BYTES + 1),
    ],
    ids=range(13),
)
def test_file_is_refused_when_its_text_is_no_strict_json(data: bytes) -> None:
    with pytest.raises(InvalidGenesis):
        parse_genesis(data)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.binary(min_size=1, max_size=3))
def test_file_never_begins_the_same_chain_when_a_byte_of_it_is_damaged(position: int, patch: bytes) -> None:
    damaged = TEXT[:position] + patch + TEXT[position + len(patch) :]
    try:
        found = parse_genesis(damaged)
    except InvalidGenesis:
        return
    assert (found == GOOD) == (found.hash == GOOD.hash)


def test_certificate_of_another_chain_is_refused_when_it_is_copied_in() -> None:
    foreign = genesis(certificates=(certificate(chain_id=bytes(32)), GOOD.certificates[1]))
    with pytest.raises(InvalidGenesis):
        parse_genesis(format_genesis(foreign))


def test_validator_is_refused_when_its_certificate_names_no_transport_key() -> None:
    with pytest.raises(InvalidGenesis):
        parse_genesis(format_genesis(genesis(certificates=(certificate(transport=b""),))))


def test_authority_of_several_needs_enough_of_them_when_certificates_are_read() -> None:
    lock = f"threshold(2,{LOCK},key({key_text(SECOND.public)}))"
    chain_id = chain_id_of("test", 1_000, "0" * 32, lock)
    record = AdmissionCertificate(chain_id, 1, NODE.public, b"t" * 32, "A", ("validator",), 0, 1)
    both = certificate_doc(sign_certificate(record, [AUTHORITY, SECOND]))
    one = certificate_doc(sign_certificate(record, [AUTHORITY]))
    assert parse_genesis(format_genesis(genesis(authority=lock, certificates=(both,)))).admitted() == (record,)
    with pytest.raises(InvalidGenesis):
        parse_genesis(format_genesis(genesis(authority=lock, certificates=(one,))))


def test_time_is_told_in_utc_when_asked() -> None:
    assert genesis_time(GOOD).isoformat() == "1970-01-01T00:00:01+00:00"
