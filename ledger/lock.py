"""Locks: who may spend an output, as a policy written and read as text.

    key(ed25519:…)            a signature by that key
    account(NAME)             whatever lock the account NAME has (contract `accounts`); does not nest
    contract(ADDRESS)         that contract approves the input in the same transaction
    hash(HEX)                 a preimage in the witness with that SHA-256
    after(HEIGHT)             not in a block below HEIGHT
    all(L, L, …)  any(L, …)  threshold(K, L, …)    members are distinct

The text is canonical: one way to write each policy (no spaces after commas, no leading zeros).
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ledger.errors import InvalidLock, InvalidSignature
from ledger.keys import key_text, parse_key
from ledger.types import MAX_HEIGHT, Height, PublicKey

MAX_LOCK_BYTES: Final = 2_048
MAX_LOCK_DEPTH: Final = 4
MAX_LOCK_MEMBERS: Final = 32
MAX_NAME_BYTES: Final = 128
_RESERVED = frozenset("(),\"'\\")


@dataclass(slots=True)
class Unlocking:
    """What a transaction offers to satisfy locks, and what of it was needed.

    Attributes:
        signers: keys whose signatures over the transaction verified.
        preimage_hashes: SHA-256 of each preimage in the witness, as hex.
        height: height of the block that the transaction is in.
        account_lock: resolves an account name to its lock, or None when there is no such account.
        approved: contracts that approve the input now looked at.
        used_keys: keys that some lock or contract looked for; any other signature is superfluous.
        used_preimages: the same for preimages.
    """

    signers: frozenset[bytes]
    preimage_hashes: frozenset[str]
    height: Height
    account_lock: Callable[[str], Lock | None]
    approved: frozenset[str]
    used_keys: set[bytes]
    used_preimages: set[str]


class Lock(ABC):
    """A parsed policy. ``str(lock)`` is its canonical text."""

    __slots__ = ()

    @abstractmethod
    def satisfied(self, by: Unlocking) -> bool:
        """True when ``by`` satisfies this lock; marks every key and preimage of it that was looked for."""

    def walk(self) -> Iterator[Lock]:
        """This lock and every lock inside it (accounts are not followed)."""
        yield self


@dataclass(frozen=True, slots=True)
class KeyLock(Lock):
    """``key(K)``."""

    key: PublicKey

    def satisfied(self, by: Unlocking) -> bool:
        """See ``Lock``."""
        if self.key not in by.signers:
            return False
        by.used_keys.add(self.key)
        return True

    def __str__(self) -> str:
        return f"key({key_text(self.key)})"


@dataclass(frozen=True, slots=True)
class AccountLock(Lock):
    """``account(NAME)``."""

    name: str

    def satisfied(self, by: Unlocking) -> bool:
        """See ``Lock``."""
        lock = by.account_lock(self.name)
        return lock is not None and lock.satisfied(by)

    def __str__(self) -> str:
        return f"account({self.name})"


@dataclass(frozen=True, slots=True)
class ContractLock(Lock):
    """``contract(ADDRESS)``."""

    address: str

    def satisfied(self, by: Unlocking) -> bool:
        """See ``Lock``."""
        return self.address in by.approved

    def __str__(self) -> str:
        return f"contract({self.address})"


@dataclass(frozen=True, slots=True)
class HashLock(Lock):
    """``hash(HEX)``."""

    digest: str

    def satisfied(self, by: Unlocking) -> bool:
        """See ``Lock``."""
        if self.digest not in by.preimage_hashes:
            return False
        by.used_preimages.add(self.digest)
        return True

    def __str__(self) -> str:
        return f"hash({self.digest})"


@dataclass(frozen=True, slots=True)
class AfterLock(Lock):
    """``after(HEIGHT)``."""

    height: int

    def satisfied(self, by: Unlocking) -> bool:
        """See ``Lock``."""
        return by.height >= self.height

    def __str__(self) -> str:
        return f"after({self.height})"


@dataclass(frozen=True, slots=True)
class ThresholdLock(Lock):
    """``threshold(K, …)``; ``all`` and ``any`` are its two ends and keep their own names."""

    needed: int
    members: tuple[Lock, ...]
    word: str

    def satisfied(self, by: Unlocking) -> bool:
        """See ``Lock``."""
        # No short cut: every member marks the signatures that it knows, so that none of them counts as superfluous.
        return sum([member.satisfied(by) for member in self.members]) >= self.needed

    def walk(self) -> Iterator[Lock]:
        """See ``Lock``."""
        yield self
        for member in self.members:
            yield from member.walk()

    def __str__(self) -> str:
        inner = ",".join(str(member) for member in self.members)
        return f"threshold({self.needed},{inner})" if self.word == "threshold" else f"{self.word}({inner})"


def check_name(name: str, what: str = "name") -> str:
    """``name`` itself when it can stand in a lock and on a screen: NFC, printable, trimmed, 1 to 128 bytes.

    Raises:
        InvalidLock: otherwise.
    """
    if (
        not name.isprintable()  # first: a lone surrogate is not, and cannot be encoded
        or not 0 < len(name.encode()) <= MAX_NAME_BYTES
        or name != name.strip()
        or unicodedata.normalize("NFC", name) != name
        or not _RESERVED.isdisjoint(name)
    ):
        raise InvalidLock(
            f"{what} {name[:40]!r} must be 1 to {MAX_NAME_BYTES} bytes of printable text without brackets, commas, "
            "quotes, backslashes or outer spaces",
            code="name_invalid",
        )
    return name


@lru_cache(maxsize=16_384)
def parse_lock(text: str) -> Lock:
    """The lock that ``text`` says.

    Raises:
        InvalidLock: unknown word, bad argument, too long, too deep, doubled members, or not the canonical text.
    """
    if len(text) > MAX_LOCK_BYTES:
        raise InvalidLock(f"a lock has at most {MAX_LOCK_BYTES} characters, this one {len(text)}")
    lock, end = _parse(text, 0, 1)
    if end != len(text):
        raise InvalidLock(f"text after the end of the lock: {text[end : end + 40]!r}")
    if str(lock) != text:
        raise InvalidLock(f"not the canonical text of this lock, which is {lock}")
    return lock


def _parse(text: str, start: int, depth: int) -> tuple[Lock, int]:
    if depth > MAX_LOCK_DEPTH:
        raise InvalidLock(f"locks nest at most {MAX_LOCK_DEPTH} deep")
    opening = text.find("(", start)
    if opening < 0:
        raise InvalidLock(f"expected a lock such as key(…) at {text[start : start + 40]!r}")
    word = text[start:opening]
    if word in ("all", "any", "threshold"):
        return _parse_threshold(text, word, opening + 1, depth)
    closing = text.find(")", opening)
    if closing < 0:
        raise InvalidLock(f"{word}( is not closed")
    return _leaf(word, text[opening + 1 : closing]), closing + 1


def _parse_threshold(text: str, word: str, position: int, depth: int) -> tuple[Lock, int]:
    needed = 1
    if word == "threshold":
        comma = text.find(",", position)
        needed = _number(text[position : max(comma, position)], "threshold")
        position = comma + 1
    members: list[Lock] = []
    while True:
        member, position = _parse(text, position, depth + 1)
        members.append(member)
        if len(members) > MAX_LOCK_MEMBERS:
            raise InvalidLock(f"a lock has at most {MAX_LOCK_MEMBERS} members")
        if text[position : position + 1] == ")":
            break
        if text[position : position + 1] != ",":
            raise InvalidLock(f"expected ',' or ')' at {text[position : position + 40]!r}")
        position += 1
    if len({str(member) for member in members}) != len(members):
        raise InvalidLock(f"the members of {word}(…) must be distinct")
    if word == "all":
        needed = len(members)
    if not 0 < needed <= len(members):
        raise InvalidLock(f"threshold({needed},…) needs 1 to {len(members)} of its {len(members)} members")
    return ThresholdLock(needed, tuple(members), word), position + 1


def _leaf(word: str, argument: str) -> Lock:
    if word == "key":
        try:
            return KeyLock(parse_key(argument))
        except InvalidSignature as error:
            raise InvalidLock(error.message) from error
    if word == "account":
        return AccountLock(check_name(argument, "account"))
    if word == "contract":
        return ContractLock(check_name(argument, "contract"))
    if word == "hash":
        if len(argument) != 64 or not set(argument) <= set("0123456789abcdef"):
            raise InvalidLock("hash(…) takes 64 lower-case hex digits")
        return HashLock(argument)
    if word == "after":
        return AfterLock(_number(argument, "after"))
    raise InvalidLock(f"unknown lock {word[:40]!r}; known: key, account, contract, hash, after, all, any, threshold")


def _number(text: str, word: str) -> int:
    if not text.isascii() or not text.isdigit() or (len(text) > 1 and text[0] == "0") or int(text) > MAX_HEIGHT:
        raise InvalidLock(f"{word}(…) takes a whole number up to {MAX_HEIGHT}, not {text[:40]!r}")
    return int(text)
