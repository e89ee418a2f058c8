"""What clients do meanwhile: transfers, chains of them, rivals for one output, duplicates, contract calls, nonsense."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from contracts.accounts import OpenArguments
from ledger.encoding import Record, encode
from ledger.errors import InvalidTransaction, Overloaded
from ledger.keys import SigningKey, key_text
from ledger.transaction import Body, Call, Output, Transaction, build, outpoint
from tests.sim.node.stage import AMOUNT, OUTPUTS

if TYPE_CHECKING:
    from tests.sim.node.machine import Machine
    from tests.sim.node.net import Net

KNOWN_MAX = 24


class Load:
    """See the module.

    Args:
        net: where.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self.random: Random = net.world.random
        members = net.stage.members
        name = net.stage.genesis.hash
        # A chain without a currency has no transfers.
        self._free = [
            (outpoint(name, place * OUTPUTS + number), place, AMOUNT)
            for place in range(len(members))
            for number in range(OUTPUTS)
        ]
        self.random.shuffle(self._free)
        self._spent: list[tuple[bytes, int, int]] = []
        self.made: list[Transaction] = []
        self._names = 0

    def step(self) -> None:
        """One client does one thing at one node."""
        running = self.net.running
        if not running:
            return
        machine = self.random.choice(running)
        draw = self.random.random()
        if draw < 0.5:
            self.hand_in(machine, self.transfer())
        elif draw < 0.62 and self._spent:
            self.net.world.met["rival_spend"] += 1
            self.hand_in(machine, self.transfer(rival=True))
        elif draw < 0.78 and self.made:
            self.net.world.met["duplicate"] += 1
            self.hand_in(machine, self.random.choice(self.made[-KNOWN_MAX:]))
        elif draw < 0.9:
            self.hand_in(machine, self.open_account())
        else:
            self.hand_in(machine, self.transfer(lifetime=1))

    def hand_in(self, machine: Machine, transaction: Transaction) -> bool:
        """Hands a transaction to a node; whether it was taken."""
        world = self.net.world
        try:
            machine.submit(transaction)
        except (InvalidTransaction, Overloaded) as error:
            world.met["refused"] += 1
            world.note(machine.name, f"refuses {transaction.tx_id.hex()[:12]}: {error.code}")
            return False
        world.met["acknowledged"] += 1
        world.note(machine.name, f"takes {transaction.tx_id.hex()[:12]}")
        assert machine.run is not None
        self.net.watch.acknowledged[transaction.tx_id] = machine.run
        return True

    def transfer(self, *, rival: bool = False, lifetime: int = 0) -> Transaction:
        """A payment from one member to another, of an output that is free, waiting, or (a rival) spent already."""
        members = self.net.stage.members
        if rival or not self._free:
            source, owner, amount = self.random.choice(self._spent)
        else:
            source, owner, amount = self._free.pop()
            self._spent.append((source, owner, amount))
        receiver = self.random.randrange(len(members))
        key = members[owner].member
        paid = max(1, amount // 2)
        outputs = [Output("CNY", paid, f"key({key_text(members[receiver].member.public)})")]
        if amount > paid:
            outputs.append(Output("CNY", amount - paid, f"key({key_text(key.public)})"))
        made = self._build(key, (), (source,), tuple(outputs), lifetime)
        if not rival and not lifetime:
            # Its outputs are spent next, often while it waits itself.
            self._free.append((outpoint(made.tx_id, 0), receiver, paid))
        return made

    def open_account(self) -> Transaction:
        """A member opens an account."""
        self._names += 1
        members = self.net.stage.members
        place = self.random.randrange(len(members))
        key = members[place].member
        arguments = OpenArguments(f"account {self._names}", f"key({key_text(key.public)})")
        return self.call(key, "accounts", "open", arguments)

    def call(self, key: SigningKey, contract: str, method: str, arguments: Record, *more: SigningKey) -> Transaction:
        """A call of a contract."""
        return self._build(key, (Call(contract, method, encode(arguments)),), (), (), 0, more)

    def calls(self, key: SigningKey, calls: Sequence[Call], *more: SigningKey) -> Transaction:
        """Several calls in one transaction."""
        return self._build(key, tuple(calls), (), (), 0, more)

    def _build(
        self,
        key: SigningKey,
        calls: tuple[Call, ...],
        inputs: tuple[bytes, ...],
        outputs: tuple[Output, ...],
        lifetime: int,
        more: tuple[SigningKey, ...] = (),
    ) -> Transaction:
        expiry = self.net.height + (lifetime or 200)
        nonce = self.random.randbytes(16)
        body = Body(
            1, self.net.stage.genesis.chain_id, key.public, expiry, nonce, inputs, outputs, calls, (), b""
        )  # fmt: skip
        made = build(body, [key, *more])
        self.made.append(made)
        return made
