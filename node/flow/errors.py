"""What a flow can come to instead of going on; codes are those of the chains."""

from __future__ import annotations

from ledger.errors import InvalidInput, NotFound, RemoteFault


class StageRefused(InvalidInput):
    """The supervision chain refuses a stage; ``code`` is its reason code.

    Args:
        flow: id.
        stage: which.
        reason: reason code.
        rule: name of the rule or list that refuses; empty where none does.
        version: of the rules that held.
    """

    code = "stage_refused"

    def __init__(self, flow: bytes, stage: str, reason: str, rule: str = "", version: int = 0) -> None:
        by = f" by rule {rule!r} (version {version})" if rule else ""
        super().__init__(
            f"flow {flow.hex()}: {stage} is refused{by}: {reason}",
            code=reason or None,
            flow=flow,
            stage=stage,
            rule=rule,
            rule_version=version,
        )
        self.flow, self.stage, self.rule, self.rule_version = flow, stage, rule, version


class StageExpired(InvalidInput):
    """A stage was not answered, or its grant not used, in time; all but a commission's may be asked for again."""

    code = "stage_expired"

    def __init__(self, flow: bytes, stage: str) -> None:
        super().__init__(f"flow {flow.hex()}: {stage} expired; it can be asked for again", flow=flow, stage=stage)
        self.flow, self.stage = flow, stage


class FlowEnded(InvalidInput):
    """The flow has ended before what was waited for: ``data["status"]`` says how, ``data["reason"]`` why."""

    code = "flow_ended"

    def __init__(self, flow: bytes, status: str, reason: str = "") -> None:
        why = f" ({reason})" if reason else ""
        super().__init__(f"flow {flow.hex()} is {status}{why}", flow=flow, status=status, reason=reason)
        self.flow, self.status, self.reason = flow, status, reason


class FlowTimeout(RemoteFault):
    """Nothing that was waited for happened in time; the flow goes on by itself and can be waited for again."""

    code = "flow_timeout"


class PurseEmpty(NotFound):
    """A key holds less of an asset than it has to pay."""

    code = "purse_empty"
