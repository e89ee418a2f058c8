"""Bearer tokens of RPC clients: a file of digests and scopes. A token itself is shown once, when it is made.

A token is ``tg1_ID_SECRET`` with 256 random bits of secret; the file has the id, SHA-256 of the whole and the scope.
"""

from __future__ import annotations

import hmac
import secrets
import stat
import time
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ledger.errors import InvalidConfig, InvalidInput, NotFound
from node.atomic_file import write_atomic
from node.rpc.method import Scope

MAX_TOKENS: Final = 1_024
MAX_FILE_BYTES: Final = 1024 * 1024
MAX_TOKEN_CHARACTERS: Final = 128
_PREFIX: Final = "tg1_"
_NOBODY: Final = bytes(32)
FILE_MODE: Final = 0o600

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
Scopes: Final = {scope.word: scope for scope in Scope}


class TokenEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is kept of a token.

    Attributes:
        id: names the entry; part of the token.
        name: whose it is, for people and logs.
        scope: what it allows.
        digest: SHA-256 of the token, in hex.
        created_ms: milliseconds since 1970 UTC.
        expires_ms: from then on it is refused; None: never.
    """

    id: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    name: Name
    scope: Annotated[str, Meta(pattern="^(read|submit|officer|admin)$")]
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    created_ms: Annotated[int, Meta(ge=0)]
    expires_ms: Annotated[int, Meta(ge=0)] | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    version: Annotated[int, Meta(ge=1, le=1)]
    tokens: Annotated[tuple[TokenEntry, ...], Meta(max_length=MAX_TOKENS)]


def read_tokens(path: Path) -> tuple[TokenEntry, ...]:
    """The entries of a file; none where there is no file.

    Raises:
        InvalidConfig: ``tokens_invalid``: unreadable, damaged, or readable for others.
    """
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror}", code="tokens_invalid") from error
    if stat.S_IMODE(mode) & 0o077:
        raise InvalidConfig(f"{path} is open to others; run `chmod 600 {path}`", code="tokens_invalid")
    try:
        if len(data) > MAX_FILE_BYTES:
            raise msgspec.ValidationError(f"more than {MAX_FILE_BYTES} bytes")
        return msgspec.json.decode(data, type=_File).tokens
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidConfig(
            f"{path}: {error}; move it away and make new tokens with `tidegate rpc token new`", code="tokens_invalid"
        ) from error


def _write(path: Path, tokens: tuple[TokenEntry, ...]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(_File(version=1, tokens=tokens)), indent=2)
    write_atomic(path, text + b"\n", mode=FILE_MODE, replace=True)


def new_token(path: Path, name: str, scope: Scope, expires_ms: int | None = None) -> str:
    """Makes a token, adds its digest to the file, and returns it: the only time that it is seen.

    Raises:
        InvalidInput: ``token_exists``: another has this name; ``params_invalid``: the name has another form.
        InvalidConfig: see ``read_tokens``.
    """
    known = read_tokens(path)
    if any(entry.name == name for entry in known):
        raise InvalidInput(f"there is a token {name!r} already; revoke it first", code="token_exists")
    if len(known) >= MAX_TOKENS:
        raise InvalidInput(f"there are {MAX_TOKENS} tokens; revoke some first", code="limit_exceeded")
    identity = secrets.token_hex(8)
    token = f"{_PREFIX}{identity}_{secrets.token_urlsafe(32)}"
    entry = {
        "id": identity,
        "name": name,
        "scope": scope.word,
        "digest": sha256(token.encode()).hexdigest(),
        "created_ms": int(time.time() * 1000),
        "expires_ms": expires_ms,
    }
    try:
        made = msgspec.convert(entry, TokenEntry)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"a token's name has 1 to 64 letters, digits, spaces, dots, dashes; not {name!r}", code="params_invalid"
        ) from error
    _write(path, (*known, made))
    return token


def revoke_token(path: Path, name: str) -> TokenEntry:
    """Takes a token out of the file, by its name or id; a running daemon sees it within two seconds.

    Raises:
        NotFound: ``token_unknown``.
        InvalidConfig: see ``read_tokens``.
    """
    known = read_tokens(path)
    gone = [entry for entry in known if name in (entry.name, entry.id)]
    if not gone:
        raise NotFound(f"there is no token {name!r} in {path}", code="token_unknown")
    _write(path, tuple(entry for entry in known if entry not in gone))
    return gone[0]


class TokenBook:
    """The tokens that a server accepts; follows the file.

    Args:
        path: of the file; None: no token is accepted.

    Raises:
        InvalidConfig: see ``read_tokens``.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._by_id: dict[str, TokenEntry] = {}
        self.refresh()

    def __len__(self) -> int:
        return len(self._by_id)

    def refresh(self) -> bool:
        """Reads the file again when it has changed; True when it had.

        Raises:
            InvalidConfig: see ``read_tokens``; until it is mended no token is accepted.
        """
        if self._path is None:
            return False
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        except OSError:
            seen = None
        if seen == self._seen:
            return False
        self._seen = seen
        self._by_id = {}
        self._by_id = {entry.id: entry for entry in read_tokens(self._path)}
        return True

    def find(self, token: str) -> TokenEntry | None:
        """The entry of a token, or None: unknown, revoked, expired.

        Takes the same time whether the id is known or not.
        """
        if len(token) > MAX_TOKEN_CHARACTERS:
            return None
        parts = token.split("_", 2)
        entry = self._by_id.get(parts[1]) if len(parts) == 3 else None
        given = sha256(token.encode("utf-8", "replace")).digest()
        same = hmac.compare_digest(given, _NOBODY if entry is None else bytes.fromhex(entry.digest))
        return entry if entry is not None and same and self.holds(entry.id) else None

    def holds(self, identity: str) -> bool:
        """Whether the token of this id is still accepted."""
        entry = self._by_id.get(identity)
        return entry is not None and (entry.expires_ms is None or time.time() * 1000 < entry.expires_ms)
