"""The network that the demo plays on: who takes part, which accounts there are, and who can pay."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ledger.genesis import Parameters
from ledger.validators import ValidatorSet
from node.consortium.plan import ConsortiumPlan
from node.network import AccountPlan, AssetPlan

PLATFORM: Final = "Platform B"
INSURER: Final = "Insurer C"
CURRENCY: Final = "CNY"
SCALE: Final = 2
FUNDS: Final = (1_000_000_00, 1_000_000_00, 500_000_00)
"""What the insurer has to begin with, minor units, in several outputs."""

CASH_B: Final = "B cash"
CASH_C: Final = "C cash"
EXAMPLE_LINE: Final = "B-health insurance-online sales"
IMPORT_LINE: Final = "B-medical insurance-online sales"
BOOKS: Final = ("settlement pending", "settled", "clawback")


def account_names(line: str) -> tuple[str, str, str]:
    """Pending, settled and clawback account of a line of business."""
    pending, settled, clawback = (f"{line}-{name}" for name in BOOKS)
    return pending, settled, clawback


def accounts() -> tuple[AccountPlan, ...]:
    """Cash of both parties, and the accounts of both lines of business."""
    both = f"any(key({{{PLATFORM}}}),key({{{INSURER}}}))"
    found = [
        AccountPlan(CASH_B, PLATFORM, f"key({{{PLATFORM}}})"),
        AccountPlan(CASH_C, INSURER, f"key({{{INSURER}}})"),
    ]
    for line in (EXAMPLE_LINE, IMPORT_LINE):
        pending, settled, clawback = account_names(line)
        found.append(AccountPlan(pending, PLATFORM, both))
        found.append(AccountPlan(settled, PLATFORM, f"key({{{PLATFORM}}})"))
        found.append(AccountPlan(clawback, PLATFORM, both))
    return tuple(found)


def assets() -> tuple[AssetPlan, ...]:
    """The insurer's currency."""
    return (AssetPlan(CURRENCY, tuple((amount, f"account({CASH_C})") for amount in FUNDS), SCALE),)


def plan(directory: Path, validators: int, supervision_validators: int) -> ConsortiumPlan:
    """A consortium of that many validators; platform and insurer have a node each, whatever their number."""
    # Blocks wait a moment for company: ten daemons share the machine, and each block costs every one of them.
    parameters = Parameters(base_timeout_ms=500, empty_block_ms=3_000, package_transactions=64, package_ms=25)
    return ConsortiumPlan(
        directory=directory,
        validators=validators,
        supervision_validators=supervision_validators,
        assets=assets(),
        accounts=accounts(),
        parameters=parameters,
        supervision_parameters=parameters,
    )


def survives_a_loss(validators: int) -> bool:
    """Whether a quorum is left when one validator is dead, and that one need not be the platform's or the insurer's."""
    return validators > 2 and validators - 1 >= quorum(validators)


def quorum(validators: int) -> int:
    """How many validators decide (``ledger.validators``)."""
    keys = [index.to_bytes(33, "big") for index in range(validators)]
    return ValidatorSet(keys).quorum  # type: ignore[arg-type]  # only their number counts
