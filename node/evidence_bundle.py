"""Evidence bundles: one file that proves something to whoever has nothing but the chain's genesis file.

The file is JSON, so that people can read it, in one form only: every byte of it counts. It names its kind; what the
content is and how it is checked is the kind's matter (``node.misbehaviour_bundle``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from ledger.document import from_document, to_document
from ledger.encoding import Record
from ledger.errors import InvalidInput, InvalidProof

R = TypeVar("R", bound=Record)

FORMAT: Final = "tidegate-evidence"
VERSION: Final = 1
MAX_BUNDLE_BYTES: Final = 64 * 1024 * 1024
_FIELDS: Final = ("format", "version", "kind", "genesis", "content")
_KEY: Final = re.compile(r'"([A-Za-z_][A-Za-z0-9_]*)": ')
_INDEX: Final = re.compile(r"\[(\d+|\.\.\.)\]|\.(\w+)")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose form is right; nothing of it is proved yet.

    Attributes:
        kind: what it is evidence of.
        genesis: hashes of the genesis files of the chains that it is about.
        content: the kind's document.
    """

    kind: str
    genesis: tuple[bytes, ...]
    content: dict[str, Any]


def refuse(field: str, words: str, code: str = "bundle_invalid") -> NoReturn:
    """Ends a check: the evidence proves nothing, because of ``field``."""
    raise InvalidProof(f"{field}: {words}", code=code, field=field)


def write_bundle(kind: str, genesis: tuple[bytes, ...], content: Record) -> bytes:
    """The file's bytes.

    Args:
        kind: constant snake_case.
        genesis: hashes of genesis files.
        content: the kind's record.
    """
    values = (FORMAT, VERSION, kind, list(genesis), content)
    return _text(dict(zip(_FIELDS, map(to_document, values), strict=True)))


def read_bundle(data: bytes) -> Bundle:
    """The bundle in a file.

    Raises:
        InvalidProof: ``bundle_*``; the text and ``data["field"]`` name the field that is wrong.
    """
    document = _parse(data)
    for field in _FIELDS:
        if field not in document:
            refuse(field, "missing")
    kind, genesis, content = document["kind"], document["genesis"], document["content"]
    if document["format"] != FORMAT:
        refuse("format", f"this is no {FORMAT} file", "bundle_foreign")
    if document["version"] != VERSION:
        refuse("version", f"this program reads version {VERSION}", "bundle_version_unknown")
    if not isinstance(kind, str) or not isinstance(content, dict):
        refuse("content" if isinstance(kind, str) else "kind", "ill-formed")
    try:
        hashes = tuple(bytes.fromhex(text) for text in genesis)
    except (TypeError, ValueError):
        refuse("genesis", "not a list of hashes")
    if genesis != to_document(hashes):
        refuse("genesis", "not as Tidegate writes it", "bundle_not_canonical")
    return Bundle(kind, hashes, content)


def content_of(bundle: Bundle, kind: type[R]) -> R:
    """The content as a record.

    Raises:
        InvalidProof: a field is missing, unknown, ill-typed or out of bounds; it is named.
    """
    try:
        content = from_document(bundle.content, kind)
    except InvalidInput as error:
        field, words = _place(error.message, kind)
        raise InvalidProof(f"{field}: {words}", code="bundle_malformed", field=field) from error
    # Hexadecimal can be written in two ways.
    written = to_document(content)
    if bundle.content != written:
        different = _difference(bundle.content, written).removeprefix(".") or "content"
        refuse(different, "not as Tidegate writes it", "bundle_not_canonical")
    return content


def _text(document: Any) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=True).encode("ascii") + b"\n"


def _parse(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BUNDLE_BYTES:
        refuse("file", f"larger than {MAX_BUNDLE_BYTES} bytes", "bundle_oversized")
    try:
        document = json.loads(data.decode("ascii"))
        canonical = _text(document)
    except UnicodeDecodeError as error:
        refuse(_field_at(data, error.start), f"a byte that is not ASCII at {error.start}", "bundle_malformed")
    except json.JSONDecodeError as error:
        refuse(_field_at(data, error.pos), f"not JSON at byte {error.pos}: {error.msg}", "bundle_malformed")
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets without end
        refuse("file", str(error), "bundle_malformed")
    if canonical != data:
        place = next((i for i, (a, b) in enumerate(zip(canonical, data, strict=False)) if a != b), len(canonical))
        refuse(_field_at(data, place), f"not as Tidegate writes it, from byte {place} on", "bundle_not_canonical")
    if not isinstance(document, dict) or tuple(document) != _FIELDS:
        unknown = next(iter(sorted(set(document) - set(_FIELDS))), "file") if isinstance(document, dict) else "file"
        refuse(unknown, f"a bundle has the fields {', '.join(_FIELDS)}", "bundle_malformed")
    return document


def _difference(one: Any, other: Any) -> str:
    """Path of the first place where two documents differ; empty where they are the same."""
    if one == other:
        return ""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next(f".{key}{_difference(one[key], other[key])}" for key in one if one[key] != other[key])
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(f"[{i}]{_difference(a, b)}" for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return ""


def _field_at(data: bytes, place: int) -> str:
    """Name of the field in whose text ``place`` lies."""
    line_end = data.find(b"\n", place)
    text = data[: place if line_end < 0 else line_end].decode("ascii", "replace")
    names = [found for found in _KEY.finditer(text) if found.start() <= place]
    return names[-1][1] if names else "file"


def _place(message: str, kind: type[Record]) -> tuple[str, str]:
    """Field and words of an error of ``ledger.document``: either names fields or, from msgspec, places in arrays."""
    if message.startswith("$"):
        path, _, words = message.partition(": ")
        return path.removeprefix("$.") or "content", words
    words, _, path = message.partition(" - at `$")
    info: Any = msgspec.inspect.type_info(kind)
    parts: list[str] = []
    for index, name in _INDEX.findall(path.rstrip("`")):
        info = _inside(info)
        if isinstance(info, msgspec.inspect.StructType):
            field = info.fields[int(index)] if index.isdigit() else next(f for f in info.fields if f.name == name)
            parts.append(f".{field.name}" if parts else field.name)
            info = field.type
        else:
            parts.append(f"[{index}]")
            info = getattr(info, "item_type", None) or info
    return "".join(parts) or "content", words.removeprefix(f"{kind.__name__}: ")


def _inside(info: Any) -> Any:
    if isinstance(info, msgspec.inspect.UnionType):
        return next((part for part in info.types if not isinstance(part, msgspec.inspect.NoneType)), info)
    return info
