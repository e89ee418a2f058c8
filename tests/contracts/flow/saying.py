"""What the supervision chain says to the business chain in these tests, honest or corrupt."""

from __future__ import annotations

from contracts import decisions, messages
from contracts.messages import Control, Decision, Grant, Limit, StageRefusal, StageRequest
from ledger.block import Receipt
from ledger.encoding import Codec, Record, encode
from ledger.keys import SigningKey
from ledger.packet import ANSWER_EVENT, answer_codec
from ledger.state import contract_prefix
from ledger.token import token, utc_date
from ledger.transaction import Transaction
from tests.contracts.bridge import kit
from tests.contracts.bridge.kit import Chain, call
from tests.contracts.flow.cast import AUTHORITY, CNY, OFFICERS, SUPERVISION
from tests.contracts.flow.regulator import Forge, Refuse, request_in


class Regulation:
    """The regulator's half of ``World``: decisions, grants, refusals, controls and limits, carried over at once."""

    business: Chain
    supervision: Chain
    flow: bytes
    authorisation: bytes

    def carry(self) -> None:
        """Brings everything both ways."""
        kit.settle(self.business, self.supervision)

    def request(self, stage: str, flow: bytes = b"") -> StageRequest:
        """The request of a stage that the supervision chain took last."""
        found = request_in(self.supervision.state, contract_prefix(SUPERVISION), flow or self.flow, stage)
        assert found is not None, f"{stage} was not asked for"
        return found

    def decision(self, stage: str, /, **changes) -> Decision:
        request = self.request(stage)
        fields = {
            "flow": self.flow,
            "stage": stage,
            "attempt": request.attempt,
            "commitment": request.commitment,
            "outcome": "authorised",
            "reason": "",
        }
        return Decision(**(fields | changes))

    def regulate(self, name: str, arguments: Record, *signers: SigningKey) -> Transaction:
        """A transaction of the regulator's in a block of its own."""
        chain = self.supervision
        made = chain.tx(signers[0], call(SUPERVISION, name, arguments), cosigners=signers[1:])
        chain.run(made)
        return made

    def decide(self, stage: str, code: str = "ok", /, *, by: tuple[SigningKey, ...] = (AUTHORITY,), **changes) -> bytes:
        """Carries the request over, decides it, and carries the decision back: id of the deciding transaction."""
        self.carry()
        decided = decisions.Decide(self.decision(stage, **changes), b"", (), b"")
        made = self.regulate("decide", decided, *by)
        assert self.answered() == code
        if stage == "file" and code == "ok":
            self.authorisation = bytes(made.tx_id)
        return bytes(made.tx_id)

    def grant_record(self, stage: str, /, **changes) -> Grant:
        request = self.request(stage)
        now_ms = self.supervision.time_ms + 1_000
        purpose = request.purpose
        fields = {
            "flow": self.flow,
            "stage": stage,
            "attempt": request.attempt,
            "holder": request.actor,
            "authorisation": request.authorisation,
            "purpose": purpose,
            "pharmacy": request.pharmacy,
            "order": request.order,
            "not_before_ms": 0,
            "not_after_ms": now_ms + 600_000,
            "uses": 1,
            "rule_version": 7,
            "token": token(utc_date(now_ms), request.authorisation, purpose),
        }
        return Grant(**(fields | changes))

    def grant(self, stage: str, code: str = "ok", /, **changes) -> None:
        self.carry()
        self.say(messages.GRANT, self.grant_record(stage, **changes), code)

    def refuse(self, stage: str, reason: str = "rules_reviewer_denied", code: str = "ok", **changes) -> None:
        self.carry()
        request = self.request(stage)
        fields = {
            "flow": self.flow,
            "stage": stage,
            "attempt": request.attempt,
            "reason": reason,
            "rule": "reviewers",
            "rule_version": 3,
        }
        self.say(messages.REFUSAL, StageRefusal(**(fields | changes)), code)

    def say(self, kind: str, record: Record, code: str = "ok", *, evidence=(), itself: bool = False, times: int = 1):
        """A packet that corrupt, or honest, validators of the supervision chain let out."""
        forged = Forge(kind, encode(record), tuple(evidence), itself, times)
        self.regulate("forge", forged, AUTHORITY)
        assert self.answered() == code

    def control(self, action: str, counter: int, code: str = "ok", *, by=OFFICERS[:2], note: str = "applied") -> None:
        said = Control(self.flow, counter, action, "under_inspection")
        self.regulate("control", decisions.ControlFlow(said), *by)
        assert self.answered() == code
        if code == "ok":
            assert self.noted == note

    def limit(self, amount: int, counter: int = 1, code: str = "ok", *, by=OFFICERS[:2], kind: str = "commission"):
        self.regulate("set_limit", decisions.SetLimit(Limit(kind, CNY, counter, amount)), *by)
        assert self.answered() == code

    def mute(self) -> None:
        """Signed calls send nothing from now on: only ``say`` and forged calls do."""
        self.regulate("mute", Refuse(""), AUTHORITY)

    def refuse_requests(self, code: str) -> None:
        """The supervision chain refuses every request from now on; empty: it takes them."""
        self.regulate("refuse", Refuse(code), AUTHORITY)

    def answered(self) -> str:
        """Carries what the supervision chain's last block says to the business chain: the last answer's code."""
        before = self.business.height
        kit.carry(self.supervision, self.business, step_ms=10)
        answers = []
        for height in range(before + 1, self.business.height + 1):
            for data in self.business.receipts[height]:
                events = Codec(Receipt, 2**22).decode(data).events
                answers += [answer_codec.decode(event.data) for event in events if event.name == ANSWER_EVENT]
        self.noted = ""
        if answers and answers[-1].result:
            self.noted = Codec(messages.Taken, 256).decode(answers[-1].result).note
        code: str = answers[-1].code
        self.carry()
        return code
