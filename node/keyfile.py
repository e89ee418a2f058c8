"""Key files: one secret key each, readable by its owner only, sealed with a passphrase on request.

A small JSON document: what kind of key it is, its public half as people write it, and either the 32 secret bytes in
hex, or a box (libsodium secretbox under an argon2id key) that holds them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import nacl.exceptions
import nacl.secret
import nacl.utils
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from ledger.encoding import digest
from ledger.errors import InvalidConfig, InvalidInput
from ledger.keys import SEED_BYTES, SigningKey, key_text
from node.atomic_file import write_atomic
from p2p.identity import TransportKey

KINDS: Final = ("validator", "transport", "member", "authority", "issuer", "sealing", "pseudonym")
"""What a key is for. ``transport`` is a libp2p identity, ``sealing`` opens envelopes, ``pseudonym`` makes subjects
unrecognisable (PROTOCOL.md 2.5), the others are signing keys."""
FILE_MODE: Final = 0o600
FORMAT: Final = 1
MAX_FILE_BYTES: Final = 16 * 1024
MAX_SECRET_BYTES: Final = 4 * 1024
"""An RSA sealing key is the longest secret."""

# RFC 9106's second recommendation: three passes over 64 MiB. A file may ask for more, within bounds.
_PASSES: Final = 3
_MEMORY_BYTES: Final = 64 * 1024 * 1024
_MAX_PASSES: Final = 16
_MAX_MEMORY_BYTES: Final = 1024 * 1024 * 1024

PassphraseSource = Callable[[], str | None]
"""Gives the passphrase when a sealed file needs it, or None where there is none."""


class KeyFileInvalid(InvalidConfig):
    """A key file that is missing, truncated, of another form or kind, or does not match its public half."""

    code = "key_file_invalid"


class KeyPermissionsLoose(InvalidConfig):
    """Others than the owner may read a key file or its directory."""

    code = "key_permissions_loose"


class PassphraseMissing(InvalidConfig):
    """A sealed key file, and no passphrase to open it."""

    code = "passphrase_missing"


class PassphraseWrong(InvalidConfig):
    """The passphrase does not open the key file."""

    code = "passphrase_wrong"


def environment_passphrase() -> str | None:
    """The passphrase from ``TIDEGATE_PASSPHRASE``, or from the file that ``TIDEGATE_PASSPHRASE_FILE`` names, or None.

    Raises:
        InvalidConfig: the file cannot be read.
    """
    passphrase = os.environ.get("TIDEGATE_PASSPHRASE")
    path = os.environ.get("TIDEGATE_PASSPHRASE_FILE")
    if passphrase is None and path is not None:
        try:
            passphrase = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidConfig(
                f"TIDEGATE_PASSPHRASE_FILE: cannot read {path}", code="passphrase_file_unreadable"
            ) from error
    return passphrase


def public_text(kind: str, seed: bytes) -> str:
    """Public half of the key with this seed, as people write it.

    ``ed25519:…``, the peer id of a transport key, the key id of a sealing key, or for a pseudonym key, which has no
    public half, a fingerprint of it.
    """
    if kind == "sealing":
        from ledger.envelope_key import key_id  # noqa: PLC0415 - only who seals needs the library behind it
        from ledger.sealing_keys import DecryptionKey  # noqa: PLC0415

        return key_id(DecryptionKey.from_bytes(seed).public).hex()
    if kind == "pseudonym":
        return digest(b"tidegate/pseudonym-key", b"", seed).hex()
    return TransportKey(seed).peer_id if kind == "transport" else key_text(SigningKey(seed).public)


def write_key(path: Path, kind: str, seed: bytes, *, passphrase: str | None = None) -> str:
    """Writes a new key file, mode 0600, and returns the public half's text. Never overwrites.

    Args:
        path: where; its directory exists.
        kind: one of ``KINDS``.
        seed: 32 secret bytes; of a sealing key, ``DecryptionKey.to_bytes``.
        passphrase: seals the file, when given.

    Raises:
        InvalidConfig: the file exists or cannot be written, or the passphrase is empty.
    """
    public = public_text(kind, seed)
    document: dict[str, Any] = {"tidegate_key": FORMAT, "kind": kind, "public": public}
    if passphrase is None:
        document["secret"] = seed.hex()
    else:
        document["sealed"] = _seal(kind, seed, passphrase)
    write_atomic(path, json.dumps(document, indent=2).encode() + b"\n", mode=FILE_MODE)
    return public


def read_key(path: Path, kind: str, passphrase: PassphraseSource = environment_passphrase) -> bytes:
    """The secret bytes in the key file at ``path``: 32, or a sealing key's.

    Args:
        path: the file.
        kind: what the key must be for.
        passphrase: asked only when the file is sealed.

    Raises:
        KeyFileInvalid: missing, not a key file, of another kind, or its secret is not that of its public half.
        KeyPermissionsLoose: readable by others; the text gives the command that mends it.
        PassphraseMissing, PassphraseWrong: it is sealed.
    """
    document = _read(path)
    if document["kind"] != kind:
        raise KeyFileInvalid(f"{path} is a {document['kind']} key; a {kind} key is needed", code="key_kind_wrong")
    seed = _secret(path, document, passphrase)
    try:
        public = public_text(kind, seed)
    except InvalidInput:
        public = ""
    if public != document["public"]:
        raise KeyFileInvalid(f"{path}: the secret is not that of the public key in the file", code="key_mismatch")
    return seed


def read_public(path: Path) -> tuple[str, str, bool]:
    """(kind, public half's text, whether it is sealed) of a key file; the secret is not looked at.

    Raises:
        KeyFileInvalid, KeyPermissionsLoose: as ``read_key``.
    """
    document = _read(path)
    return document["kind"], document["public"], "sealed" in document


def check_private(path: Path, mode: int) -> None:
    """Refuses a file or directory that others may read.

    Args:
        path: what to look at.
        mode: the widest permission bits allowed.

    Raises:
        KeyFileInvalid: it is not there.
        KeyPermissionsLoose: with the ``chmod`` command that mends it.
    """
    try:
        actual = path.stat().st_mode & 0o777
    except OSError as error:
        raise KeyFileInvalid(f"cannot read {path}: {error.strerror}", code="key_missing") from error
    if actual & ~mode:
        raise KeyPermissionsLoose(
            f"others may read {path} (mode {actual:04o}); run: chmod {mode:04o} '{path}'", path=str(path), mode=actual
        )


def _read(path: Path) -> dict[str, Any]:
    check_private(path, FILE_MODE)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        document = json.loads(data)
    except OSError as error:
        raise KeyFileInvalid(f"cannot read {path}: {error.strerror}", code="key_missing") from error
    except (ValueError, RecursionError) as error:
        raise KeyFileInvalid(f"{path} is not a key file, or only a part of one") from error
    if not isinstance(document, dict) or len(data) > MAX_FILE_BYTES:
        raise KeyFileInvalid(f"{path} is not a key file")
    if document.get("tidegate_key") != FORMAT:
        raise KeyFileInvalid(f"{path} is not a key file of format {FORMAT}")
    holder = {"secret", "sealed"} & document.keys()
    if set(document) != {"tidegate_key", "kind", "public"} | holder or len(holder) != 1:
        raise KeyFileInvalid(f"{path}: a key file has kind, public, and either secret or sealed")
    if document["kind"] not in KINDS or not isinstance(document["public"], str):
        raise KeyFileInvalid(f"{path}: kind is one of {', '.join(KINDS)}, and public is the key's text")
    return document


def _secret(path: Path, document: dict[str, Any], passphrase: PassphraseSource) -> bytes:
    if "sealed" in document:
        given = passphrase()
        if given is None:
            raise PassphraseMissing(
                f"{path} is sealed: set TIDEGATE_PASSPHRASE or TIDEGATE_PASSPHRASE_FILE", path=str(path)
            )
        return _open(path, document["kind"], document["sealed"], given)
    try:
        seed = bytes.fromhex(document["secret"])
    except (TypeError, ValueError):
        seed = b""
    if not _fits(document["kind"], seed):
        raise KeyFileInvalid(f"{path}: the secret is {2 * SEED_BYTES} hex digits")
    return seed


def _fits(kind: str, secret: bytes) -> bool:
    return 0 < len(secret) <= MAX_SECRET_BYTES if kind == "sealing" else len(secret) == SEED_BYTES


def _derive(passphrase: str, salt: bytes, passes: int, memory_bytes: int) -> SecretBox:
    key = argon2id.kdf(SecretBox.KEY_SIZE, passphrase.encode(), salt, opslimit=passes, memlimit=memory_bytes)
    return SecretBox(key)


def _seal(kind: str, seed: bytes, passphrase: str) -> dict[str, Any]:
    if not passphrase:
        raise InvalidConfig("an empty passphrase protects nothing", code="passphrase_empty")
    salt = nacl.utils.random(argon2id.SALTBYTES)
    box = _derive(passphrase, salt, _PASSES, _MEMORY_BYTES)
    # The kind is sealed too, so that a file cannot be passed off as a key for another use.
    sealed = bytes(box.encrypt(kind.encode() + b"\0" + seed))
    return {
        "kdf": "argon2id",
        "passes": _PASSES,
        "memory_bytes": _MEMORY_BYTES,
        "salt": salt.hex(),
        "box": sealed.hex(),
    }


def _open(path: Path, kind: str, sealed: object, passphrase: str) -> bytes:
    try:
        if not isinstance(sealed, dict) or sealed["kdf"] != "argon2id":
            raise KeyFileInvalid(f"{path} is sealed in a way that this program does not know")
        passes, memory_bytes = int(sealed["passes"]), int(sealed["memory_bytes"])
        salt, box = bytes.fromhex(sealed["salt"]), bytes.fromhex(sealed["box"])
        if not 1 <= passes <= _MAX_PASSES or not 8_192 <= memory_bytes <= _MAX_MEMORY_BYTES:
            raise KeyFileInvalid(f"{path}: passes or memory_bytes out of bounds")
        opened = _derive(passphrase, salt, passes, memory_bytes).decrypt(box)
    except (KeyError, TypeError, ValueError) as error:
        raise KeyFileInvalid(f"{path} is not a whole sealed key file") from error
    except nacl.exceptions.CryptoError as error:
        raise PassphraseWrong(f"the passphrase does not open {path}", path=str(path)) from error
    inner, _, seed = opened.partition(b"\0")
    if inner != kind.encode() or not _fits(kind, seed):
        raise KeyFileInvalid(f"{path}: what is sealed is not a {kind} key", code="key_kind_wrong")
    return seed
