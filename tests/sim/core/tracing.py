"""A readable line for each event. Without it not a branch of the simulator asks whether anybody wants to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consensus import effects as do
from consensus import inputs as on
from consensus.messages import Message, Proposal, RoundChange
from ledger.block import block_id
from tests.sim.core.material import NAMES
from tests.sim.core.process import Process

if TYPE_CHECKING:
    from tests.sim.core.cluster import Cluster


def short(name: bytes) -> str:
    """A block in six digits."""
    return name.hex()[:6]


def told(message: Message) -> str:
    """A message in a few words."""
    who = f"{NAMES.get(message.signer, '?')} {message.height}.{message.round}"
    match message:
        case Proposal():
            again = "again " if message.justification.prepares else ""
            return f"PROPOSAL {who} {again}{short(block_id(message.block.header))}"
        case RoundChange():
            held = message.prepared
            return f"ROUND-CHANGE {who}" + (f" holds {held.round}:{short(held.block_id)}" if held else "")
        case _:
            return f"{type(message).__name__.upper()} {who} {short(message.block_id)}"


def told_event(event: on.Input) -> str:
    """An input in a few words."""
    match event:
        case on.MessageReceived():
            return told(event.message.message)
        case on.HeightStarted():
            members = "".join(NAMES[key] for key in event.validators.keys)
            return f"height {event.height} begins: epoch {event.epoch.number} of {members}"
        case on.TimerFired():
            return f"timer {event.kind.name} of {event.height}.{event.round}"
        case on.BlockChecked():
            return f"checked {short(event.block_id)}: {'ok' if event.ok else event.reason}"
        case on.BlockBuilt() if event.block is not None:
            return f"built {short(block_id(event.block.header))}"
        case on.StragglerHeard() | on.LatestOwnMessage():
            own = event.message
            return f"{type(event).__name__} {own.kind.name} {NAMES.get(own.signer, '?')} {own.height}.{own.round}"
        case on.PeerConnected():
            return f"connected to {NAMES[event.validator]}"
        case _:
            return type(event).__name__


def told_effect(effect: do.Effect) -> str | None:
    """An effect in a few words; None for those that say nothing."""
    match effect:
        case do.Broadcast():
            return f"says {told(effect.message)}" + (" (again)" if effect.repeat else "")
        case do.CommitBlock():
            return f"decides {short(effect.block.id)} in round {effect.certificate.round}"
        case do.SetTimer():
            return f"sets {effect.kind.name} of {effect.height}.{effect.round} to {effect.at_ms}"
        case do.ReportEvidence():
            return f"reports {effect.kind.value} of {NAMES[effect.signer]}"
        case do.RefuseBlock():
            return f"refuses {told(effect.proposal)}: {effect.reason}"
        case do.FetchBlock():
            return f"fetches {short(effect.block_id)}"
        case do.SendDecided():
            return f"sends height {effect.height} to {NAMES[effect.to]}"
        case do.EnterObserve():
            return f"observes: {effect.reason.value} through {effect.through_height}"
        case do.ReportSigningRefused():
            return f"must not sign {effect.kind.name} {effect.height}.{effect.round}"
        case _:
            return None


def trace_cluster(cluster: Cluster) -> None:
    """Makes every process of ``cluster`` tell what it does: their classes are replaced by telling ones."""
    cluster.trace = []
    telling: dict[type[Process], type[Process]] = {}
    for process in cluster.processes:
        kind = type(process)
        if kind not in telling:
            telling[kind] = type(f"Telling{kind.__name__}", (kind,), {"__slots__": (), **_methods(kind)})
        process.__class__ = telling[kind]


def _methods(kind: type[Process]) -> dict[str, Any]:
    def start(self: Process, _arg: object = None) -> None:
        self.cluster.note(f"{self.name} starts with {len(self.disk.synced)} records, {len(self.chain)} blocks")
        kind.start(self)

    def give(self: Process, event: on.Input) -> None:
        self.cluster.note(f"{self.name} ← {told_event(event)}")
        kind.give(self, event)

    def performing(effect_kind: type[Any]) -> Any:
        plain = kind.performs[effect_kind]

        def perform(self: Process, effect: Any) -> None:
            line = told_effect(effect)
            if line is not None:
                self.cluster.note(f"{self.name}   {line}")
            plain(self, effect)

        return perform

    return {"start": start, "give": give, "performs": {each: performing(each) for each in kind.performs}}
