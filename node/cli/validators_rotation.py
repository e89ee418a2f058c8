"""``tidegate validators --candidates``: among whom a committee rotates, and who enters next."""

from __future__ import annotations

from contracts.validators.rotation_calls import Rotation
from ledger.errors import NotFound
from ledger.keys import key_text
from ledger.rotation import Candidate, Order
from node.cli.output import Report
from node.validator_names import NodeBook


def tell_candidates(report: Report, chain_id: bytes, rotation: Rotation, book: NodeBook) -> None:
    """Seats first, longest held first; then who waits, next one first; then who waits for a salt.

    Raises:
        NotFound: the chain's set does not rotate.
    """
    rules, salt = rotation.rules, rotation.salt
    if rules is None or salt is None:
        raise NotFound("this chain has no rotating committee: its validators stay until governance changes them")
    order, organisations = Order(chain_id, salt), book.organisations()
    seated, waiting = order.seated(rotation.candidates), order.waiting(rotation.candidates)
    later = [each for each in rotation.candidates if not each.seated and not order.eligible(each)]
    states = [
        *((each, f"seated from {each.seated}" + (", leaves" if each.leaving else "")) for each in seated),
        *((each, f"waits, place {place}") for place, each in enumerate(waiting, 1)),
        *((each, "waits for a salt") for each in later),
    ]
    report.fields(
        {
            "committee": f"{rules.committee} of {len(rotation.candidates)}",
            "epoch": f"{rules.epoch_blocks} blocks, then at most {rules.seats_changed} seats change",
            "caps": ", ".join(f"{group.name} {group.seats}" for group in rules.groups if not group.exempt) or "-",
            "salt": f"{salt.value.hex()[:16]}…, set in block {salt.height}",
        }
    )
    report.line()
    report.table(
        ["validator", "organisation", "group", "how"],
        [[key_text(each.key), organisations.get(each.key) or "-", each.group or "-", how] for each, how in states],
    )
    report.document(
        {
            "committee": rules.committee,
            "epoch_blocks": rules.epoch_blocks,
            "seats_changed": rules.seats_changed,
            "salt": {"value": salt.value.hex(), "height": salt.height},
            "candidates": [_document(each, organisations.get(each.key), how) for each, how in states],
        }
    )


def _document(candidate: Candidate, organisation: str | None, how: str) -> dict[str, object]:
    return {
        "key": key_text(candidate.key),
        "organisation": organisation,
        "group": candidate.group or None,
        "since": candidate.since,
        "seated": candidate.seated or None,
        "leaving": candidate.leaving,
        "how": how,
    }
