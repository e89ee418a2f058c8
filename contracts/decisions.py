"""Arguments of what authorities and officers sign on the supervision chain, where the business chain reads them too.

The business chain does not believe a decision because the supervision chain's validators certified it: it looks into
the transactions that made it, and checks who signed them and that they say the same (DESIGN.md 6).
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.expression.attributes import Attribute
from contracts.messages import Control, Decision, HashOrNothing, KeyNotice, Limit
from ledger.encoding import Codec, Record
from ledger.transaction import MAX_CALL_BYTES

DECIDE: Final = "decide"
CONTROL_FLOW: Final = "control"
SET_LIMIT: Final = "set_limit"
PUBLISH: Final = "publish"
"""Methods of ``supervision`` (the first three) and ``keyring`` on the supervision chain."""


class Decide(Record, frozen=True):
    """``supervision.decide``: an authority's or one officer's decision.

    Attributes:
        decision: what is decided.
        subject: pseudonym of whom the document is about, attested by the authority; empty when nothing was attested.
        attributes: what rules may look at, attested by the authority at filing; sorted by name, distinct.
        opened: digest of the envelope that was opened for this, which enters the disclosure log; empty when the signer
            opened nothing (an officer who decides on what an authority attested before).
    """

    decision: Decision
    subject: HashOrNothing
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=64)]
    opened: HashOrNothing


class ControlFlow(Record, frozen=True):
    """``supervision.control``: one officer's will to suspend, resume or terminate a flow."""

    control: Control


class SetLimit(Record, frozen=True):
    """``supervision.set_limit``: one officer's will to set a limit."""

    limit: Limit


class Publish(Record, frozen=True):
    """``keyring.publish``: the sender's encryption key of the next epoch; ``notice.owner`` is the sender."""

    notice: KeyNotice


decide_codec = Codec(Decide, MAX_CALL_BYTES, "arguments of decide")
control_flow_codec = Codec(ControlFlow, MAX_CALL_BYTES, "arguments of control")
set_limit_codec = Codec(SetLimit, MAX_CALL_BYTES, "arguments of set_limit")
publish_codec = Codec(Publish, MAX_CALL_BYTES, "arguments of publish")
