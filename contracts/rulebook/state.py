"""Under which keys the rule book keeps what; reading and writing it.

n                              Counters
s                              Schedule
v ‖ u32 version                Version
d ‖ u32 version                Definition
l ‖ u32 version                lineage, see rulebook/lineage.py
e ‖ u32 list ‖ fingerprint     history of an entry: Items, ascending by version
k ‖ u32 version ‖ u32 index    Chunk
h ‖ u32 count                  Activation
"""

from __future__ import annotations

from typing import Final

from contracts.codes import Refusal
from contracts.interface import EndContext, StateSpace
from contracts.rulebook import lineage
from contracts.rulebook.codes import DRAFT_UNKNOWN
from contracts.rulebook.lineage import Lineage
from contracts.rulebook.records import (
    Activation,
    Chunk,
    Counters,
    Definition,
    Schedule,
    Version,
    activation_codec,
    chunk_codec,
    counters_codec,
    definition_codec,
    schedule_codec,
    version_codec,
)
from ledger.encoding import encode
from ledger.errors import BrokenInvariant

EMPTY_DEFINITION: Final = encode(Definition((), (), ()))
"""Of version 0."""


def number_bytes(number: int) -> bytes:
    """A number in a key."""
    return number.to_bytes(4, "big")


def entries_prefix(list_number: int) -> bytes:
    """Beginning of the keys of a list's entries."""
    return b"e" + number_bytes(list_number)


def load_counters(state: StateSpace) -> Counters:
    """Numbers given out, and the versions that can be worked with."""
    data = state.get(b"n")
    return Counters() if data is None else counters_codec.decode(data)


def save_counters(state: StateSpace, counters: Counters) -> None:
    """Writes what ``load_counters`` reads."""
    state.put(b"n", encode(counters))


def load_schedule(state: StateSpace) -> Schedule:
    """Which version is in force, and which come."""
    data = state.get(b"s")
    return Schedule((), 0) if data is None else schedule_codec.decode(data)


def save_schedule(state: StateSpace, schedule: Schedule) -> None:
    """Writes what ``load_schedule`` reads."""
    state.put(b"s", encode(schedule))


def find_version(state: StateSpace, number: int) -> Version | None:
    """The version's record, or None."""
    data = state.get(b"v" + number_bytes(number))
    return None if data is None else version_codec.decode(data)


def load_version(state: StateSpace, number: int) -> Version:
    """The version's record; refuses with ``rules_draft_unknown``."""
    found = find_version(state, number)
    if found is None:
        raise Refusal(DRAFT_UNKNOWN, f"there is no version {number} of the rules", version=number)
    return found


def save_version(state: StateSpace, version: Version) -> None:
    """Writes what ``load_version`` reads."""
    state.put(b"v" + number_bytes(version.number), encode(version))


def load_definition(state: StateSpace, number: int) -> bytes:
    """Canonical bytes of the version's ``Definition``; of a number that was given out, or 0."""
    if not number:
        return EMPTY_DEFINITION
    data = state.get(b"d" + number_bytes(number))
    if data is None:
        raise BrokenInvariant(f"rules: version {number} has no definition")
    return data


def decoded_definition(state: StateSpace, number: int) -> Definition:
    """The version's definition."""
    return definition_codec.decode(load_definition(state, number))


def save_definition(state: StateSpace, number: int, data: bytes) -> None:
    """Writes what ``load_definition`` reads."""
    state.put(b"d" + number_bytes(number), data)


def load_lineage(state: StateSpace, number: int) -> Lineage:
    """The version's lineage; of a number that was given out, or 0."""
    if not number:
        return lineage.EMPTY
    data = state.get(b"l" + number_bytes(number))
    if data is None:
        raise BrokenInvariant(f"rules: version {number} has no lineage")
    return lineage.parse(data)


def save_lineage(state: StateSpace, number: int, value: Lineage) -> None:
    """Writes what ``load_lineage`` reads."""
    state.put(b"l" + number_bytes(number), value.data)


def save_chunk(state: StateSpace, version: int, chunk: Chunk) -> None:
    """Notes a staged chunk."""
    state.put(b"k" + number_bytes(version) + number_bytes(chunk.index), encode(chunk))


def chunks_of(context: EndContext, version: int, start: int, limit: int) -> tuple[Chunk, ...]:
    """At most ``limit`` chunks of a version from index ``start`` on."""
    prefix = b"k" + number_bytes(version)
    rows = context.state.iterate(prefix, start=prefix + number_bytes(start), limit=limit)
    return tuple(chunk_codec.decode(data) for _, data in rows)


def save_activation(state: StateSpace, count: int, activation: Activation) -> None:
    """Keeps step number ``count``."""
    state.put(b"h" + number_bytes(count), encode(activation))


def activations_from(context: EndContext, start: int, limit: int) -> tuple[Activation, ...]:
    """At most ``limit`` steps from number ``start`` on."""
    rows = context.state.iterate(b"h", start=b"h" + number_bytes(start), limit=limit)
    return tuple(activation_codec.decode(data) for _, data in rows)
