"""Which nodes are who: peer ids, signing keys and organisations, from the chain's admission certificates.

Feeds the identity gate of the overlay (DESIGN.md 4): a peer may connect with a certificate that is valid now, or when
the configuration names it as a bootstrap peer, so that a node far behind can still come in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.admission import all_certificates
from contracts.rules import Rules
from ledger.admission import AdmissionCertificate
from ledger.state import StateReader
from ledger.types import PublicKey
from ledger.validators import ValidatorSet
from p2p.identity import peer_id_of_public_key
from p2p.transport import PeerId


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """A node that may connect."""

    peer_id: PeerId
    key: PublicKey
    organisation: str
    certificate: AdmissionCertificate


class Membership:
    """The nodes admitted to a chain.

    Args:
        rules: of the chain.
        validators: the set in force: its members stay connected when their certificates have expired, because a
            validator leaves by governance only (PROTOCOL.md 2.4).
        bootstrap: peer ids that may connect whatever this node's state says.
    """

    def __init__(self, rules: Rules, validators: ValidatorSet, bootstrap: Iterable[PeerId] = ()) -> None:
        self._validators = validators
        self._address = rules.address_of("admission")
        self._bootstrap = frozenset(bootstrap)
        self._by_peer: dict[PeerId, list[NodeIdentity]] = {}
        self._by_key: dict[bytes, NodeIdentity] = {}
        self._organisations: dict[bytes, str] = {}
        self.time_ms = 0

    def refresh(self, state: StateReader, time_ms: int) -> None:
        """Reads the certificates again; ``time_ms`` is the tip's time."""
        self.time_ms = time_ms
        self._by_peer.clear()
        self._by_key.clear()
        self._organisations.clear()
        for certificate in all_certificates(state, self._address):
            self._organisations[certificate.key] = certificate.organisation
            if not certificate.transport:
                continue
            peer_id = peer_id_of_public_key(certificate.transport)
            node = NodeIdentity(peer_id, PublicKey(certificate.key), certificate.organisation, certificate)
            self._by_peer.setdefault(peer_id, []).append(node)
            self._by_key[certificate.key] = node

    def allowed(self, peer: PeerId) -> bool:
        """Whether ``peer`` may be connected now."""
        nodes = self._by_peer.get(peer, ())
        return any(self._in_force(node) for node in nodes) or peer in self._bootstrap

    def _in_force(self, node: NodeIdentity) -> bool:
        return node.certificate.valid_at(self.time_ms) or node.key in self._validators

    def node(self, peer: PeerId) -> NodeIdentity | None:
        """Who ``peer`` is, or None; where it has several certificates, by the first that is in force."""
        nodes = self._by_peer.get(peer, ())
        return next((node for node in nodes if self._in_force(node)), next(iter(nodes), None))

    def peer_of(self, key: bytes) -> PeerId | None:
        """The overlay address of a validator's signing key, or None."""
        node = self._by_key.get(key)
        return None if node is None else node.peer_id

    def peers_of_organisation(self, organisation: str) -> list[PeerId]:
        """The nodes of an organisation, sorted."""
        return sorted(
            peer for peer, nodes in self._by_peer.items() if any(node.organisation == organisation for node in nodes)
        )

    def organisation_of(self, key: bytes) -> str | None:
        """The organisation that a signing key belongs to, or None."""
        return self._organisations.get(key)
