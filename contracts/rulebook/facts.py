"""What is known of a stage when the rules are asked, and what they say (PROTOCOL.md 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.expression.attributes import Value


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a stage of a flow when the rules are asked.

    A list or expression that applies to the stage and needs what is empty here holds the stage.

    Attributes:
        stage: from ``contracts.messages.STAGES``.
        kind: flow kind.
        flow: id of the flow, 32 bytes.
        organisation: whose class and lists hold: that of the platform or filer.
        subject: pseudonym attested at filing, 32 bytes; empty where there is none.
        drugs: drug codes attested at filing.
        reviewer: key of the reviewer who asks or, from ``order`` on, whose opinion approved; empty before.
        pharmacy: whom an order is for; empty before.
        order: commitment of the order; empty before.
        parties: keys that take part: actor, filer, platform and others that are known.
        amount: minor units; 0 where there is none.
        values: attributes attested at filing, and what else the caller wants expressions to see. The facts above win
            over values of the same name.
        time_ms: block time of the stage, for expiring entries; 0 for the block's in which the rules are asked.
    """

    stage: str
    kind: str
    flow: bytes
    organisation: str
    subject: bytes = b""
    drugs: tuple[str, ...] = ()
    reviewer: bytes = b""
    pharmacy: bytes = b""
    order: bytes = b""
    parties: tuple[bytes, ...] = ()
    amount: int = 0
    values: Mapping[str, Value] | None = None
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say.

    Attributes:
        outcome: ``allow``, ``refuse`` or ``hold``.
        reason: reason code; empty for ``allow``.
        rule: name of the list or expression that says so; empty for ``allow``.
        version: version of the rules that held; 0 before the first.
    """

    outcome: str
    reason: str
    rule: str
    version: int
