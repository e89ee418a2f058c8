"""What one settlement takes from the purses of patient and payer, and what becomes of it."""

from __future__ import annotations

from contracts.flow.calls import PaymentRequested
from ledger.keys import SigningKey
from ledger.transaction import Output, outpoint
from ledger.types import OutPoint, PublicKey
from node.flow.purse import Bank, Loan, Purse, Purses, lock_of
from node.flow.submitting import Sent


class Funds:
    """See the module.

    Args:
        purses: of the client.
        payment: what is paid.
        patient: pays its share, and sends.
        payer: pays what is reimbursed; None only where that is nothing.
    """

    def __init__(
        self, purses: Purses, payment: PaymentRequested, patient: SigningKey, payer: SigningKey | None
    ) -> None:
        self._payment = payment
        self._shares: list[tuple[Purse, SigningKey, int]] = []
        for key, amount in ((patient, payment.patient_share), (payer, payment.reimbursed)):
            if key is not None and amount:
                self._shares.append((purses.of(key.public, payment.asset), key, amount))
        self._patient = patient
        self._loans: list[tuple[Purse, Loan]] = []

    async def take(self, bank: Bank | None) -> None:
        """Reserves what is needed; ``bank`` gives the patient what it lacks. Raises ``PurseEmpty``."""
        for purse, key, amount in self._shares:
            if bank is None or key is not self._patient:
                self._loans.append((purse, await purse.take(amount)))
                continue
            async with purse.turn:  # two settlements of one patient must not count on the same money
                lacking = amount - await purse.holds()
                if lacking > 0:
                    await purse.received(await bank.fund(key.public, self._payment.asset, lacking), lacking)
                self._loans.append((purse, await purse.take(amount)))

    @property
    def cosigners(self) -> list[SigningKey]:
        """Who signs beside the patient."""
        return [key for _, key, _ in self._shares if key is not self._patient]

    @property
    def inputs(self) -> tuple[OutPoint, ...]:
        """What the settlement spends."""
        return tuple(name for _, loan in self._loans for name in loan.inputs)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The pharmacy's total, then the change of each."""
        asset = self._payment.asset
        paid = Output(asset, self._payment.total, lock_of(PublicKey(self._payment.pharmacy)))
        return (paid, *(Output(asset, loan.change, purse.lock) for purse, loan in self._loans if loan.change))

    async def spent(self, sent: Sent) -> None:
        """The settlement is in a block: the change goes back into the purses."""
        place = 1
        for purse, loan in self._loans:
            await purse.spent(loan, outpoint(sent.tx_id, place) if loan.change else None)
            place += bool(loan.change)

    async def give_back(self) -> None:
        """The settlement did not happen."""
        for purse, loan in self._loans:
            await purse.give_back(loan)
        self._loans.clear()

    async def rebuild(self) -> None:
        """Reads the purses anew from the chain."""
        for purse, _, _ in self._shares:
            await purse.rebuild()
