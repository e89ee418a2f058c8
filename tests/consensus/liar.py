"""A validator that says different things to different others: the Byzantine member of a simulated cluster."""

from __future__ import annotations

from functools import partial

import msgspec

from consensus.messages import Commit, Justification, Message, Prepare, Proposal, RoundChange, encode_message
from tests.consensus.making import block, commit, name, prepare, proposal, round_change
from tests.consensus.network import Node


class Liar(Node):
    """Follows the protocol inside, and tells each of the others the truth, a lie, or nothing."""

    def broadcast(self, message: Message) -> None:
        lies = [lie for lie in self.lies(message) if lie is not None]
        for node in self.net.nodes:
            if node.key != self.key:
                pick = self.net.random.random()
                told = [message] if pick < 0.5 else [self.net.random.choice(lies)] if pick < 0.9 and lies else []
                for one in [*told, *([message] if pick < 0.1 else [])]:
                    self.net.to_node(self, node, partial(Node.receive, data=encode_message(one)))

    def lies(self, message: Message) -> list[Message | None]:
        me, height, round_ = self.index, message.height, message.round
        rivals = [name(made) for made in self.net.rivals if made.header.height == height]
        match message:
            case Proposal():
                header, empty = message.block.header, Justification(message.justification.round_changes, ())
                rival = block(
                    height,
                    proposer=me,
                    parent=header.parent,
                    time_ms=header.time_ms,
                    validator_set=self.net.validators,
                    refs=self.net.token().to_bytes(64, "big"),
                )
                self.net.rivals = [*self.net.rivals[-20:], rival, message.block]
                return [
                    proposal(me, rival, height=height, round_=round_, justification=message.justification),
                    proposal(me, rival, height=height, round_=round_, justification=empty),
                    proposal(me, rival, height=height, round_=round_),
                ]
            case Prepare() | Commit():
                vote = prepare if isinstance(message, Prepare) else commit
                return [vote(me, other, height=height, round_=round_ + i) for other in rivals for i in (0, 0, 1)]
            case RoundChange():
                huge = self.net.random.randrange(round_, 2**31)
                held = None if message.prepared is None else msgspec.structs.replace(message.prepared, round=round_)
                return [
                    round_change(me, round_, height=height),
                    round_change(me, huge, height=height),
                    round_change(me, round_ + 1, held, height=height),
                ]
