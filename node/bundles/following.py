"""From the genesis file to any certified header: the light client's steps, with the field named that is wrong."""

from __future__ import annotations

from typing import Final

from contracts.builtin import build_rules, genesis_block
from ledger.block import block_id
from ledger.errors import InvalidInput
from ledger.genesis import Genesis
from ledger.light_client import ClientState, advance, begin
from ledger.packet import HeaderProof
from ledger.state import StoredState
from ledger.store_memory import MemoryStore
from node.bundles.records import CertifiedHeader
from node.evidence_bundle import refuse

_FIELD_OF_CODE: Final = {
    "client_chain_wrong": "header.chain_id",
    "client_version_unknown": "header.version",
    "client_header_wrong": "header.history_size",
    "client_header_old": "header.height",
    "client_parent_wrong": "header.parent",
    "client_set_wrong": "validators",
    "validators_invalid": "validators",
    "certificate_invalid": "certificate.seals",
}


def begin_at(genesis: Genesis) -> ClientState:
    """A light client that trusts the genesis block and nothing else. Raises ``InvalidGenesis``."""
    header, _ = genesis_block(genesis, build_rules(genesis), StoredState(MemoryStore()))
    return begin(genesis.name, "bridge", header, genesis.validator_set())


def follow(client: ClientState, step: CertifiedHeader, path: str) -> ClientState:
    """The client after one more header.

    Args:
        client: as it is.
        step: above its latest header.
        path: of the header in the bundle, for the text of a refusal.

    Raises:
        InvalidProof: its certificate is not of the set in force; ``data["field"]`` names what is wrong.
    """
    header, certificate = step.header, step.certificate
    if step.validators != tuple(sorted(step.validators)):
        refuse(f"{path}.validators", "not sorted")
    for field, other in (("height", header.height), ("epoch", header.epoch)):
        if getattr(certificate, field) != other:
            refuse(f"{path}.certificate.{field}", f"not that of the header, {other}")
    if certificate.block_id != block_id(header):
        refuse(f"{path}.header", "a field of it, or certificate.block_id, is not as it was certified")
    try:
        return advance(client, HeaderProof(header, certificate, step.validators, 0, None))
    except InvalidInput as error:
        refuse(f"{path}.{_FIELD_OF_CODE.get(error.code, 'header')}", error.message, error.code)
