"""Key files: what is written is read back, and everything else is refused with a reason of its own."""

import json
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidConfig, TidegateError
from ledger.keys import SigningKey, key_text
from ledger.sealing_keys import DecryptionKey
from node.keyfile import (
    KINDS,
    KeyFileInvalid,
    KeyPermissionsLoose,
    PassphraseMissing,
    PassphraseWrong,
    environment_passphrase,
    public_text,
    read_key,
    read_public,
    write_key,
)

SEED = bytes(range(32))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "member.key"


def change(file, **values):
    document = json.loads(file.read_text())
    for name, value in values.items():
        if value is None:
            del document[name]
        else:
            document[name] = value
    file.write_text(json.dumps(document))


@pytest.mark.parametrize("kind", KINDS)
def test_key_reads_back_when_written(tmp_path, kind):
    secret = DecryptionKey.from_x25519(1, SEED).to_bytes() if kind == "sealing" else SEED
    public = write_key(tmp_path / "k", kind, secret)
    assert read_key(tmp_path / "k", kind) == secret
    assert read_public(tmp_path / "k") == (kind, public, False)
    assert public == public_text(kind, secret)


def test_rsa_key_reads_back_when_sealed_with_a_passphrase(file):
    secret = DecryptionKey.generate_rsa(3, 2_048).to_bytes()
    write_key(file, "sealing", secret, passphrase="a passphrase")
    assert read_key(file, "sealing", lambda: "a passphrase") == secret


def test_sealing_key_is_refused_when_its_secret_is_no_key(file):
    write_key(file, "sealing", DecryptionKey.from_x25519(1, SEED).to_bytes())
    change(file, secret="00" * 40)
    with pytest.raises(KeyFileInvalid):
        read_key(file, "sealing")


def test_public_half_is_the_peer_id_when_transport(file):
    assert write_key(file, "transport", SEED).startswith("12D3KooW")


def test_file_is_private_whatever_the_umask(file):
    previous = os.umask(0)
    try:
        write_key(file, "member", SEED)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_existing_key_is_never_overwritten(file):
    write_key(file, "member", SEED)
    before = file.read_bytes()
    with pytest.raises(InvalidConfig) as caught:
        write_key(file, "member", bytes(32))
    assert caught.value.code == "file_exists"
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["member.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_loose_permissions_are_refused_with_the_command_that_mends_them(file, mode):
    write_key(file, "member", SEED)
    file.chmod(mode)
    with pytest.raises(KeyPermissionsLoose, match=f"chmod 0600 '{file}'"):
        read_key(file, "member")
    with pytest.raises(KeyPermissionsLoose):
        read_public(file)


def test_sealed_key_opens_with_its_passphrase_only(file):
    public = write_key(file, "member", SEED, passphrase="correct horse")
    assert SEED.hex() not in file.read_text()
    assert read_public(file) == ("member", public, True)
    assert read_key(file, "member", lambda: "correct horse") == SEED
    with pytest.raises(PassphraseWrong):
        read_key(file, "member", lambda: "wrong horse")
    with pytest.raises(PassphraseMissing, match="TIDEGATE_PASSPHRASE"):
        read_key(file, "member", lambda: None)


def test_empty_passphrase_is_refused(file):
    with pytest.raises(InvalidConfig) as caught:
        write_key(file, "member", SEED, passphrase="")
    assert caught.value.code == "passphrase_empty"
    assert not file.exists()


def test_passphrase_is_not_asked_for_when_file_is_open(file):
    write_key(file, "member", SEED)
    assert read_key(file, "member", lambda: pytest.fail("asked")) == SEED


def test_passphrase_comes_from_variable_then_file(tmp_path, monkeypatch):
    monkeypatch.delenv("TIDEGATE_PASSPHRASE", raising=False)
    monkeypatch.delenv("TIDEGATE_PASSPHRASE_FILE", raising=False)
    assert environment_passphrase() is None
    (tmp_path / "secret").write_text("from file\n")
    monkeypatch.setenv("TIDEGATE_PASSPHRASE_FILE", str(tmp_path / "secret"))
    assert environment_passphrase() == "from file"
    monkeypatch.setenv("TIDEGATE_PASSPHRASE", "from variable")
    assert environment_passphrase() == "from variable"


def test_unreadable_passphrase_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.delenv("TIDEGATE_PASSPHRASE", raising=False)
    monkeypatch.setenv("TIDEGATE_PASSPHRASE_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(InvalidConfig, match="nowhere"):
        environment_passphrase()


def test_missing_file_is_named(file):
    with pytest.raises(KeyFileInvalid, match=r"member\.key") as caught:
        read_key(file, "member")
    assert caught.value.code == "key_missing"


def test_every_truncation_is_refused(file):
    write_key(file, "member", SEED)
    whole = file.read_bytes()
    for length in range(len(whole) - 2):
        file.write_bytes(whole[:length])
        with pytest.raises(KeyFileInvalid):
            read_key(file, "member")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"kind": "validator"}, "key_kind_wrong"),
        ({"kind": "spare"}, "key_file_invalid"),
        ({"kind": ["member"]}, "key_file_invalid"),
        ({"public": key_text(SigningKey(bytes(32)).public)}, "key_mismatch"),
        ({"public": 7}, "key_file_invalid"),
        ({"secret": bytes(32).hex()}, "key_mismatch"),
        ({"secret": "00" * 31}, "key_file_invalid"),
        ({"secret": "zz" * 32}, "key_file_invalid"),
        ({"secret": None}, "key_file_invalid"),
        ({"sealed": {}}, "key_file_invalid"),
        ({"tidegate_key": 2}, "key_file_invalid"),
        ({"note": "x"}, "key_file_invalid"),
        ({"note": "x" * 5_000}, "key_file_invalid"),
    ],
)
def test_foreign_or_changed_file_is_refused(file, values, code):
    write_key(file, "member", SEED)
    change(file, **values)
    with pytest.raises(KeyFileInvalid) as caught:
        read_key(file, "member")
    assert caught.value.code == code


@pytest.mark.parametrize(
    "changed",
    [
        {"kdf": "scrypt"},
        {"passes": 1_000},
        {"passes": "many"},
        {"memory_bytes": 1 << 40},
        {"salt": "00"},
        {"box": "00"},
        {"box": "zz"},
    ],
)
def test_damaged_seal_is_refused_and_never_costs_unbounded_memory(file, changed):
    write_key(file, "member", SEED, passphrase="p")
    change(file, sealed={**json.loads(file.read_text())["sealed"], **changed})
    with pytest.raises((KeyFileInvalid, PassphraseWrong)):
        read_key(file, "member", lambda: "p")


def test_sealed_kind_cannot_be_relabelled(file):
    write_key(file, "validator", SEED, passphrase="p")
    change(file, kind="member")
    with pytest.raises(KeyFileInvalid) as caught:
        read_key(file, "member", lambda: "p")
    assert caught.value.code == "key_kind_wrong"


@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=300) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
    lambda value: json.dumps(value).encode()
))  # fmt: skip
def test_no_bytes_crash_the_reader(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("k") / "any.key"
    file.touch(0o600)
    file.write_bytes(data)
    with pytest.raises(TidegateError):
        read_key(file, "member")
