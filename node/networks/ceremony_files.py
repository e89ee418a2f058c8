"""The files of a ceremony: JSON for people and for sending around; every value is checked when it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from ledger.document import from_document, to_document
from ledger.errors import InvalidInput
from node.atomic_file import write_atomic
from node.networks.ceremony import Founding, MemberSignature, Proposal, check_proposal
from node.networks.member_file import MemberFile

PROPOSAL: Final = "tidegate_proposal"
MEMBER: Final = "tidegate_member"
SIGNATURE: Final = "tidegate_signature"
FOUNDING: Final = "tidegate_founding"
KINDS: Final = {
    PROPOSAL: "a proposal (tidegate network propose)",
    MEMBER: "a member file (tidegate network member)",
    SIGNATURE: "a signature (tidegate network sign)",
    FOUNDING: "a draft or founding (tidegate network draft, assemble)",
}
FORMAT: Final = 1
R = TypeVar("R")
MAX_BYTES: Final = 32 * 1024 * 1024


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        InvalidInput: ``file_invalid``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        document = json.loads(data) if len(data) <= MAX_BYTES else None
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", code="file_invalid") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON, or only a part of it: {error}", code="file_invalid") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{path}: a JSON object is needed, of at most {MAX_BYTES} bytes", code="file_invalid")
    return document


def read_proposal(path: Path) -> Proposal:
    """Raises ``InvalidInput`` or ``InvalidConfig``: no proposal, or one of which nothing can be made."""
    return _proposal(read_document(path), str(path))


def read_member(path: Path) -> MemberFile:
    """Raises ``InvalidInput``: no member file. Its proofs are checked where it is used."""
    return _record(read_document(path), MEMBER, MemberFile, str(path))


def read_signature(path: Path) -> MemberSignature:
    """Raises ``InvalidInput``: no signature file. The signatures are checked where it is used."""
    return _record(read_document(path), SIGNATURE, MemberSignature, str(path))


def read_founding(path: Path) -> Founding:
    """Raises ``InvalidInput``: no draft or founding. What it says is checked where it is used."""
    document = read_document(path)
    _expect(document, FOUNDING, str(path), {"proposal", "members", "signatures"})
    members, signatures = document["members"], document["signatures"]
    if not isinstance(members, list) or not isinstance(signatures, list):
        raise InvalidInput(f"{path}: members and signatures are lists", code="file_invalid")
    return Founding(
        _proposal(document["proposal"], f"{path}: proposal"),
        tuple(_record(item, MEMBER, MemberFile, f"{path}: member") for item in members),
        tuple(_record(item, SIGNATURE, MemberSignature, f"{path}: signature") for item in signatures),
    )


def proposal_document(proposal: Proposal) -> dict[str, Any]:
    """The JSON form."""
    document: dict[str, Any] = msgspec.to_builtins(proposal)
    return document


def member_document(member: MemberFile) -> dict[str, Any]:
    """The JSON form."""
    return {MEMBER: FORMAT, **to_document(member)}


def signature_document(signature: MemberSignature) -> dict[str, Any]:
    """The JSON form."""
    return {SIGNATURE: FORMAT, **to_document(signature)}


def founding_document(founding: Founding) -> dict[str, Any]:
    """The JSON form."""
    return {
        FOUNDING: FORMAT,
        "proposal": proposal_document(founding.proposal),
        "members": [member_document(member) for member in founding.members],
        "signatures": [signature_document(signature) for signature in founding.signatures],
    }


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Writes a new file.

    Raises:
        InvalidConfig: ``file_exists`` or ``file_unwritable``.
    """
    write_atomic(path, json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")


def _proposal(document: object, where: str) -> Proposal:
    _expect(document, PROPOSAL, where, None)
    try:
        return check_proposal(msgspec.convert(document, Proposal))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{where}: {error}", code="file_invalid") from error


def _record(document: object, form: str, kind: type[R], where: str) -> R:
    _expect(document, form, where, None)
    assert isinstance(document, dict)
    try:
        return from_document({name: value for name, value in document.items() if name != form}, kind)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}", code="file_invalid") from error


def _expect(document: object, form: str, where: str, fields: set[str] | None) -> None:
    if not isinstance(document, dict) or document.get(form) != FORMAT:
        is_what = next((words for key, words in KINDS.items() if isinstance(document, dict) and key in document), None)
        raise InvalidInput(
            f"{where} is not {KINDS[form]}" + (f"; it is {is_what}" if is_what else ""), code="file_invalid"
        )
    if fields is not None and set(document) != {form} | fields:
        raise InvalidInput(f"{where}: it has {', '.join(sorted(fields))}, and nothing else", code="file_invalid")
