"""Which nodes are who: peer ids, signing keys and organisations, from the chain's admission certificates.

Feeds the identity gate of the overlay (DESIGN.md 4): a peer may connect with a certificate that is valid now, or when
the configuration names it as a bootstrap peer, so that a node far behind can still come in. Nobody whose certificate
was revoked comes in that way; only a validator stays until governance takes it out of the set (PROTOCOL.md 2.4).

Certificates come and go with blocks: a block costs what it has changed, however many keys are admitted. Most of them
are persons', without a node, and are not kept here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from contracts.admission import find_certificate, find_revocation
from contracts.admission.register import CERTIFICATE_PREFIX, REVOCATION_PREFIX, node_certificates, node_revocations
from contracts.rules import Rules
from ledger.admission import AdmissionCertificate
from ledger.state import StateReader, contract_prefix
from ledger.types import PublicKey
from p2p.identity import peer_id_of_public_key
from p2p.transport import PeerId


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """A node that may connect, or that might until it was revoked."""

    peer_id: PeerId
    key: PublicKey
    organisation: str
    certificate: AdmissionCertificate
    revoked: bool = False


class Membership:
    """The nodes admitted to a chain.

    Args:
        rules: of the chain.
        validators: of the heights being decided: they stay connected when their certificates have expired or are
            revoked, because a validator leaves by governance only (PROTOCOL.md 2.4).
        bootstrap: peer ids that may connect although this node's state does not know them, or not any more.

    Attributes:
        time_ms: the tip's time.
    """

    def __init__(self, rules: Rules, validators: frozenset[PublicKey], bootstrap: Iterable[PeerId] = ()) -> None:
        self._validators = validators
        self._address = rules.address_of("admission")
        prefix = contract_prefix(self._address)
        self._watched = (prefix + CERTIFICATE_PREFIX, prefix + REVOCATION_PREFIX)
        self._bootstrap = frozenset(bootstrap)
        self._by_peer: dict[PeerId, list[NodeIdentity]] = {}
        self._by_key: dict[bytes, NodeIdentity] = {}
        self._state: StateReader | None = None
        self.time_ms = 0

    def seat(self, validators: frozenset[PublicKey]) -> bool:
        """Other validators decide from now on; True when they are others indeed."""
        if validators == self._validators:
            return False
        self._validators = validators
        return True

    def refresh(self, state: StateReader, time_ms: int) -> None:
        """Reads every certificate again.

        Args:
            state: the committed state; kept, so one that follows the chain.
            time_ms: the tip's time.
        """
        self._state = state
        self.time_ms = time_ms
        self._by_peer.clear()
        self._by_key.clear()
        for certificate in node_revocations(state, self._address):
            self._put(certificate, revoked=True)
        for certificate in node_certificates(state, self._address):
            self._remove(certificate.key)
            self._put(certificate, revoked=False)

    def on_block(self, changes: Sequence[tuple[bytes, bytes]], time_ms: int) -> bool:
        """Takes over what a committed block has changed.

        Args:
            changes: (state key, any) of all that the block changed, sorted.
            time_ms: the block's time.

        Returns:
            True when a node has come, changed or gone: the gate is to be applied anew.
        """
        self.time_ms = time_ms
        keys = sorted({key for prefix in self._watched for key in _changed_below(prefix, changes)})
        changed = False
        for key in keys:
            changed |= self._reread(key)
        return changed

    def _reread(self, key: bytes) -> bool:
        assert self._state is not None
        before = self._by_key.get(key)
        self._remove(key)
        certificate = find_certificate(self._state, self._address, key)
        if certificate is not None:
            self._put(certificate, revoked=False)
        else:
            revocation = find_revocation(self._state, self._address, key)
            if revocation is not None and revocation.certificate is not None:
                self._put(revocation.certificate, revoked=True)
        return self._by_key.get(key) != before

    def _put(self, certificate: AdmissionCertificate, *, revoked: bool) -> None:
        if not certificate.transport:
            return
        peer_id = peer_id_of_public_key(certificate.transport)
        node = NodeIdentity(peer_id, PublicKey(certificate.key), certificate.organisation, certificate, revoked)
        nodes = self._by_peer.setdefault(peer_id, [])
        nodes.append(node)
        nodes.sort(key=lambda other: other.key)
        self._by_key[certificate.key] = node

    def _remove(self, key: bytes) -> None:
        node = self._by_key.pop(key, None)
        if node is not None:
            nodes = self._by_peer[node.peer_id]
            nodes.remove(node)
            if not nodes:
                del self._by_peer[node.peer_id]

    def allowed(self, peer: PeerId) -> bool:
        """Whether ``peer`` may be connected now."""
        nodes = self._by_peer.get(peer, ())
        if any(self._in_force(node) for node in nodes):
            return True
        return peer in self._bootstrap and not any(node.revoked for node in nodes)

    def _in_force(self, node: NodeIdentity) -> bool:
        return node.key in self._validators or (not node.revoked and node.certificate.valid_at(self.time_ms))

    def lapsed_validators(self) -> tuple[PublicKey, ...]:
        """Validators whose certificate is expired, revoked or missing: they stay, and somebody should know."""
        return tuple(
            key
            for key in sorted(self._validators)
            if (node := self._by_key.get(key)) is None or node.revoked or not node.certificate.valid_at(self.time_ms)
        )

    def node(self, peer: PeerId) -> NodeIdentity | None:
        """Who ``peer`` is, or None; where it has several certificates, by the first that is in force."""
        nodes = self._by_peer.get(peer, ())
        return next((node for node in nodes if self._in_force(node)), next(iter(nodes), None))

    def peer_of(self, key: bytes) -> PeerId | None:
        """The overlay address of a validator's signing key, or None."""
        node = self._by_key.get(key)
        return None if node is None else node.peer_id

    def identity(self, key: bytes) -> NodeIdentity | None:
        """Who signs with ``key``, also when it was revoked; None where no certificate of a node names it."""
        return self._by_key.get(key)

    def peers_of_organisation(self, organisation: str) -> list[PeerId]:
        """The nodes of an organisation, sorted."""
        return sorted(
            peer for peer, nodes in self._by_peer.items() if any(node.organisation == organisation for node in nodes)
        )

    def organisation_of(self, key: bytes) -> str | None:
        """The organisation that a signing key belongs to, or None."""
        node = self._by_key.get(key)
        if node is not None:
            return node.organisation
        certificate = None if self._state is None else find_certificate(self._state, self._address, key)
        return None if certificate is None else certificate.organisation


def _changed_below(prefix: bytes, changes: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """What follows ``prefix`` in the changed state keys that begin with it."""
    for index in range(bisect_left(changes, (prefix, b"")), len(changes)):
        key = changes[index][0]
        if not key.startswith(prefix):
            return
        yield key[len(prefix) :]
