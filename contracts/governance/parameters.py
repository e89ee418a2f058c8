"""The chain's parameters as governance changes them: what a proposal says, from which height it holds, what it must be.

Record, within contract ``governance``: ``q ‖ u64(2^64 − 1 − start)`` → ``ParametersRecord``: all changeable parameters
from height ``start`` on; the first record from a height's own key on is that height's. What block h decides holds from
h + 2, as with validators: every node knows it before it begins with that height.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from contracts.codes import Refusal
from contracts.interface import EndContext
from contracts.validators.records import AHEAD
from ledger.encoding import Codec, Record, encode
from ledger.errors import BrokenInvariant, InvalidGenesis
from ledger.genesis import Parameters, check_parameters
from ledger.state import StateReader, contract_prefix
from ledger.types import MAX_HEIGHT

SET_PARAMETERS: Final = "set_parameters"
"""Governed action of ``governance``; its data is a ``SetParameters``."""
PARAMETER_UNKNOWN: Final = "governance_parameter_unknown"
PARAMETER_INVALID: Final = "governance_parameter_invalid"
PARAMETER_REPEATED: Final = "governance_parameter_repeated"
PARAMETERS_PREFIX: Final = b"q"
_TOP: Final = 2**64 - 1

Number = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


class ParameterValue(Record, frozen=True):
    """A parameter and what it becomes."""

    name: Name
    value: Number


class SetParameters(Record, frozen=True):
    """``set_parameters``: these change, the others stay; each stands once."""

    changes: Annotated[tuple[ParameterValue, ...], Meta(min_length=1, max_length=16)]


class ParametersRecord(Record, frozen=True):
    """The changeable parameters from a height on; meanings and bounds as in ``ledger.genesis.Parameters``.

    Attributes:
        start: first height that they hold for.
    """

    start: Height
    base_timeout_ms: Number
    max_timeout_ms: Number
    empty_block_ms: Number
    package_transactions: Number
    package_ms: Number
    max_block_transactions: Number
    max_block_bytes: Number
    clock_tolerance_ms: Number


class ParametersQuery(Record, frozen=True):
    """The parameters of ``height``; 0: of the block that is being decided."""

    height: Height


CHANGEABLE: Final = ParametersRecord.__struct_fields__[1:]
"""What governance may change. The rest of ``Parameters`` is fixed for ever: it says how long ids live and which
checkpoints there are."""

set_parameters_codec = Codec(SetParameters, 4_096, "parameters")
record_codec = Codec(ParametersRecord, 256, "parameters in force")


def parameters_key(start: int) -> bytes:
    """Key of the parameters that hold from ``start`` on; later ones sort first."""
    return PARAMETERS_PREFIX + (_TOP - start).to_bytes(8, "big")


def parameters_at(state: StateReader, address: str, height: int) -> ParametersRecord | None:
    """The parameters of ``height``, or None where only the genesis file says them.

    Args:
        state: of the chain.
        address: of its contract ``governance``.
        height: any; what block h says of heights above h + 2 may still change.
    """
    prefix = contract_prefix(address)
    for _, data in state.iterate(prefix + PARAMETERS_PREFIX, start=prefix + parameters_key(height), limit=1):
        return record_codec.decode(data)
    return None


def in_force(genesis: Parameters, record: ParametersRecord | None) -> Parameters:
    """All parameters: those that governance said, and the others from the genesis file."""
    if record is None:
        return genesis
    return msgspec.structs.replace(genesis, **{name: getattr(record, name) for name in CHANGEABLE})


def first_parameters(parameters: Parameters) -> ParametersRecord:
    """The genesis file's, from height 1 on."""
    return ParametersRecord(1, *(getattr(parameters, name) for name in CHANGEABLE))


def parameters_of(context: EndContext, height: int) -> ParametersRecord:
    """``parameters_at``, asked with the context of contract ``governance``."""
    for _, data in context.state.iterate(PARAMETERS_PREFIX, start=parameters_key(height), limit=1):
        return record_codec.decode(data)
    raise BrokenInvariant("contract governance has no parameters")


def set_parameters(context: EndContext, order: SetParameters) -> ParametersRecord:
    """Writes what holds from two heights above the block on, on top of what was decided for then before.

    Refuses with ``governance_parameter_…``: unknown or unchangeable, said twice, or out of bounds together.
    """
    start = context.block.height + AHEAD
    record = changed(parameters_of(context, start), order.changes, start)
    context.state.put(parameters_key(start), encode(record))
    context.emit("parameters_decided", record)
    return record


def changed(record: ParametersRecord, changes: Iterable[ParameterValue], start: int) -> ParametersRecord:
    """``record`` with ``changes``, from ``start`` on; refuses as ``set_parameters``."""
    values: dict[str, int] = {}
    for change in changes:
        if change.name not in CHANGEABLE:
            raise Refusal(PARAMETER_UNKNOWN, f"{change.name!r} cannot be changed; {', '.join(CHANGEABLE)} can")
        if change.name in values:
            raise Refusal(PARAMETER_REPEATED, f"{change.name} stands twice")
        values[change.name] = change.value
    found = replace(record, start=start, **values)
    try:
        check_parameters(in_force(Parameters(), found))
    except InvalidGenesis as error:
        raise Refusal(PARAMETER_INVALID, error.message) from error
    return found
