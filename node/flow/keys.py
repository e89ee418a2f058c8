"""Keys that documents are sealed to, from the keyring contract; remembered until a refusal says that they changed."""

from __future__ import annotations

import asyncio
from typing import Final

from contracts.flow import codes
from contracts.keyring import KIND, KeyPage, Nothing, OwnerQuery, Published
from ledger.envelope_key import EncryptionKey
from ledger.errors import InvalidInput, NotFound
from ledger.keys import key_text
from node.gateway import Gateway

OUTDATED: Final = frozenset({codes.ENVELOPE_EPOCH, codes.ENVELOPE_RECIPIENTS, codes.KEY_MISSING})
"""Refusals after which the keys are asked for again and the document is sealed anew."""
MAX_OWNERS: Final = 10_000
"""Keys that are remembered; beyond, all are forgotten and asked for as they are needed."""


class RecipientKeys:
    """Current encryption keys.

    Args:
        gateway: a node of the business chain.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._authorities: tuple[EncryptionKey, ...] = ()
        self._owners: dict[bytes, EncryptionKey] = {}
        self._lock = asyncio.Lock()

    async def authorities(self) -> tuple[EncryptionKey, ...]:
        """The current key of every authority.

        Raises:
            NotFound: ``flow_key_missing``: none has one on this chain yet.
        """
        if not self._authorities:
            async with self._lock:
                if not self._authorities:
                    page = await self._gateway.view(KIND, "authorities", Nothing(), KeyPage)
                    self._authorities = tuple(_key(found) for found in page.keys)
        if not self._authorities:
            raise NotFound("no authority has an encryption key on this chain yet", code=codes.KEY_MISSING)
        return self._authorities

    async def of(self, owner: bytes) -> EncryptionKey:
        """The current key of ``owner``.

        Raises:
            NotFound: ``flow_key_missing``: it has published none, or retired it.
        """
        found = self._owners.get(owner)
        if found is None:
            async with self._lock:  # flows that begin together ask once
                found = self._owners.get(owner)
                if found is None:
                    found = await self._ask(owner)
        return found

    async def _ask(self, owner: bytes) -> EncryptionKey:
        try:
            published = await self._gateway.view(KIND, "key", OwnerQuery(owner), Published)
        except NotFound as error:
            raise NotFound(error.message, code=codes.KEY_MISSING, owner=owner) from error
        if published.notice.retired:
            raise NotFound(f"{key_text(owner)} has retired its key", code=codes.KEY_MISSING, owner=owner)
        if len(self._owners) >= MAX_OWNERS:
            self._owners.clear()
        found = self._owners[owner] = _key(published)
        return found

    async def of_all(self, owners: tuple[bytes, ...]) -> tuple[EncryptionKey, ...]:
        """The current keys of ``owners``; raises as ``of``."""
        return tuple([await self.of(owner) for owner in owners])

    def outdated(self, error: InvalidInput) -> bool:
        """True when ``error`` says that keys have changed; they are forgotten then."""
        if error.code not in OUTDATED:
            return False
        self._authorities = ()
        self._owners.clear()
        return True


def _key(published: Published) -> EncryptionKey:
    notice = published.notice
    return EncryptionKey(notice.suite, notice.epoch, notice.public)
