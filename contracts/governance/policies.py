"""Named policies of keys: who governs a chain, who its officers and authorities are, who they are on the other chain.

A policy is a lock made of keys and thresholds only, in the state of contract ``governance``; a change of it is itself
governed. Record: ``p ‖ name`` → canonical lock text.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from contracts.codes import LOCK_INVALID, Refusal
from contracts.interface import EndContext, lock_of
from ledger.errors import InvalidLock
from ledger.lock import KeyLock, Lock, ThresholdLock, check_name, parse_lock
from ledger.types import PublicKey

GOVERNORS: Final = "governors"
"""Both chains: whose approvals carry a proposal. Genesis' admission authority where the genesis file names nobody."""
OFFICERS: Final = "officers"
"""Supervision chain: officers, as many as an officers' decision needs."""
AUTHORITIES: Final = "authorities"
"""Supervision chain: keys of the authority services, any one of which decides automatically."""
SUPERVISION_OFFICERS: Final = "supervision.officers"
SUPERVISION_AUTHORITIES: Final = "supervision.authorities"
"""Business chain: the same two policies of the supervision chain, against which its evidence is checked."""
POLICY_UNKNOWN: Final = "governance_policy_unknown"
MAX_POLICY_NAME_BYTES: Final = 64
POLICY_PREFIX: Final = b"p"


def policy(context: EndContext, name: str) -> Lock:
    """The policy of that name, asked with the context of any contract; refuses with ``governance_policy_unknown``."""
    found = find_policy(context, name)
    if found is None:
        raise Refusal(POLICY_UNKNOWN, f"this chain has no policy {name!r}", policy=name)
    return found


def find_policy(context: EndContext, name: str) -> Lock | None:
    """The policy of that name, or None where the chain has none; asked with the context of any contract."""
    address = context.directory.address_of("governance")
    if not address:
        return None
    text = context.enter(address).state.get(policy_key(name))
    return None if text is None else parse_lock(text.decode())


def keys_of(lock: Lock) -> tuple[PublicKey, ...]:
    """The distinct keys that a policy names, sorted."""
    return tuple(sorted({part.key for part in lock.walk() if isinstance(part, KeyLock)}))


def satisfied_by(lock: Lock, keys: Collection[bytes]) -> bool:
    """True when ``keys`` satisfy a policy; keys that it does not name count for nothing."""
    if isinstance(lock, KeyLock):
        return lock.key in keys
    if isinstance(lock, ThresholdLock):
        return sum([satisfied_by(member, keys) for member in lock.members]) >= lock.needed
    return False


def check_policy(text: str) -> Lock:
    """The policy that ``text`` says; refuses with ``lock_invalid`` what is no lock of keys and thresholds.

    Each key stands in it once: otherwise one signature would count for two of k.
    """
    lock = lock_of(text)
    parts = list(lock.walk())
    if not all(isinstance(part, KeyLock | ThresholdLock) for part in parts):
        raise Refusal(LOCK_INVALID, "a policy is made of key(…), all, any and threshold only")
    if sum(isinstance(part, KeyLock) for part in parts) != len(keys_of(lock)):
        raise Refusal(LOCK_INVALID, "each key stands in a policy once")
    return lock


def check_policy_name(name: str) -> str:
    """``name`` itself when it can name a policy; refuses with ``governance_name_invalid``."""
    try:
        check_name(name, "policy")
    except InvalidLock as error:
        raise Refusal("governance_name_invalid", error.message) from error
    if len(name.encode()) > MAX_POLICY_NAME_BYTES:
        raise Refusal("governance_name_invalid", f"a policy's name has at most {MAX_POLICY_NAME_BYTES} bytes")
    return name


def policy_key(name: str) -> bytes:
    """State key of a policy, within contract ``governance``."""
    return POLICY_PREFIX + name.encode()
