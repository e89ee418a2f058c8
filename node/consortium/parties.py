"""Parties: who acts in supervised flows without a node of its own, each with a signing key and a sealing key.

A directory holds ``parties.json`` (names and public halves, in order) and, per party, two key files that only their
owner reads. Hospitals, reviewers, pharmacies, payers and patients of a platform live in such directories; so do the
regulator's officers, in another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from ledger.errors import InvalidConfig, NotFound
from ledger.keys import SigningKey, key_text
from ledger.sealing_keys import DecryptionKey
from ledger.types import PublicKey
from node.atomic_file import write_atomic
from node.keyfile import PassphraseSource, environment_passphrase, read_key, write_key
from node.layout import KEYS_MODE

FILE: Final = "parties.json"
_UNSAFE: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who signs.

    Attributes:
        name: distinct within its directory.
        kind: what it is registered as: platform, hospital, reviewer, pharmacy, payer, insurer; or patient, officer.
        organisation: who answers for it.
        signing: its key on the chain that it acts on.
        sealing: what documents for it are sealed to.
    """

    name: str
    kind: str
    organisation: str
    signing: SigningKey = field(repr=False)
    sealing: DecryptionKey = field(repr=False)

    @property
    def key(self) -> PublicKey:
        """Its public signing key."""
        return self.signing.public


class _PartyDoc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    kind: str
    organisation: str
    key: str
    files: str


class PartyBook:
    """The parties of a directory, in order.

    Args:
        directory: absolute.
        parties: what it holds.
    """

    def __init__(self, directory: Path, parties: Iterable[Party] = ()) -> None:
        self.directory = directory
        self._parties = {party.name: party for party in parties}

    def __iter__(self) -> Iterator[Party]:
        return iter(self._parties.values())

    def __len__(self) -> int:
        return len(self._parties)

    def __contains__(self, name: object) -> bool:
        return name in self._parties

    def party(self, name: str) -> Party:
        """The party of that name.

        Raises:
            NotFound: there is none; the text lists some that there are.
        """
        found = self._parties.get(name)
        if found is None:
            known = ", ".join(list(self._parties)[:12]) or "none"
            raise NotFound(f"{self.directory} has no party {name!r}; it has {known}")
        return found

    def of_kind(self, kind: str) -> list[Party]:
        """The parties of a kind, in order."""
        return [party for party in self._parties.values() if party.kind == kind]

    def add(self, parties: Iterable[Party], passphrase: str | None = None) -> None:
        """Writes new parties to the directory: keys first, the book last, so that a crash leaves only spare keys.

        Raises:
            InvalidConfig: a name is taken, or a file cannot be written.
        """
        self.directory.mkdir(mode=KEYS_MODE, parents=True, exist_ok=True)
        for party in parties:
            if party.name in self._parties:
                raise InvalidConfig(f"{self.directory} has a party {party.name!r} already", code="party_exists")
            keys = self.directory / _files(party)
            keys.mkdir(mode=KEYS_MODE, parents=True, exist_ok=True)
            write_key(keys / "signing.key", "member", party.signing.seed, passphrase=passphrase)
            write_key(keys / "sealing.key", "sealing", party.sealing.to_bytes(), passphrase=passphrase)
            self._parties[party.name] = party
        documents = [
            _PartyDoc(party.name, party.kind, party.organisation, key_text(party.key), _files(party))
            for party in self._parties.values()
        ]
        write_atomic(
            self.directory / FILE,
            json.dumps({"parties": msgspec.to_builtins(documents)}, indent=1, ensure_ascii=False).encode() + b"\n",
            replace=True,
        )


def new_party(name: str, kind: str, organisation: str, *, rsa: bool = False) -> Party:
    """A party with new keys; ``rsa`` for one who holds RSA keys only (DESIGN.md 7)."""
    sealing = DecryptionKey.generate_rsa(1) if rsa else DecryptionKey.generate_x25519(1)
    return Party(name, kind, organisation, SigningKey.generate(), sealing)


def load_parties(directory: Path, passphrase: PassphraseSource = environment_passphrase) -> PartyBook:
    """The parties in ``directory``; none where it does not exist yet.

    Raises:
        InvalidConfig: ``parties_invalid``, or an unusable key file.
    """
    path = directory / FILE
    if not path.exists():
        return PartyBook(directory)
    try:
        documents = msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[_PartyDoc, ...]])["parties"]
    except (OSError, KeyError, msgspec.MsgspecError) as error:
        raise InvalidConfig(f"{path}: {error}", code="parties_invalid") from error
    return PartyBook(directory, [_read(directory, document, passphrase) for document in documents])


def _read(directory: Path, document: _PartyDoc, passphrase: PassphraseSource) -> Party:
    keys = directory / document.files
    signing = SigningKey(read_key(keys / "signing.key", "member", passphrase))
    if key_text(signing.public) != document.key:
        raise InvalidConfig(f"{keys}: the signing key is not that of {document.name!r}", code="parties_invalid")
    sealing = DecryptionKey.from_bytes(read_key(keys / "sealing.key", "sealing", passphrase))
    return Party(document.name, document.kind, document.organisation, signing, sealing)


def _files(party: Party) -> str:
    """Directory of a party's keys: readable, and distinct for names that read alike."""
    words = _UNSAFE.sub("-", party.name.lower()).strip("-")[:40]
    return f"keys/{words or 'party'}-{sha256(party.name.encode()).hexdigest()[:8]}"
