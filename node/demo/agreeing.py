"""How platform and insurer come to an agreement: one drafts and signs, the other reads, compares and signs."""

from __future__ import annotations

import asyncio
from typing import Final

from contracts.commission.orders import proposal_body, signature_body
from contracts.commission.records import ANY, HALF_UP, INSURER, PLATFORM, Agreement, MappingRow, Party, Triggers
from node.demo.cast import Member, NotAsExpected
from node.demo.stage import CASH_B, CASH_C, CURRENCY, SCALE, account_names

RATE_PPM: Final = 30_000
MARGIN_BLOCKS: Final = 5
"""Between drafting and activation; blocks without transactions may come in between."""
IN_FORCE_S: Final = 60.0


async def agree(platform: Member, insurer: Member, name: str, line: str, *, count: int) -> Agreement:
    """An agreement of 3 % in force, drafted by the platform and signed by the insurer.

    Args:
        platform: drafts.
        insurer: signs, once the draft on its own node's chain is what it expects.
        name: id of the agreement.
        line: line of business, whose accounts it uses.
        count: pending records that trigger a settlement.
    """
    pending, settled, clawback = account_names(line)
    height = (await platform.client.info()).height
    terms = Agreement(
        agreement=name,
        version=1,
        platform=Party(platform.organisation, platform.key().public, f"account({CASH_B})"),
        insurer=Party(insurer.organisation, insurer.key().public, f"account({CASH_C})"),
        currency=CURRENCY,
        scale=SCALE,
        rate_ppm=RATE_PPM,
        base="premium",
        rounding=HALF_UP,
        mapping=(MappingRow(ANY, ANY, ANY, ANY, pending, settled, clawback),),
        conditions=(),
        triggers=Triggers(count=count),
        max_batch=1_000,
        clawback_window_s=30 * 86_400,
        activation_height=height + MARGIN_BLOCKS,
    )
    drafted = await platform.send(proposal_body(await platform.frame(), terms, PLATFORM))
    await insurer.client.wait(drafted.tx_id)
    drafts = [draft.agreement async for draft in insurer.books.drafts(name)]
    if drafts != [terms]:
        raise NotAsExpected("the draft on the insurer's chain is not what the parties spoke about")
    await insurer.send(signature_body(await insurer.frame(), drafts[0], INSURER))
    await _in_force(platform, terms)
    await _in_force(insurer, terms)
    return terms


async def _in_force(member: Member, terms: Agreement) -> None:
    async with asyncio.timeout(IN_FORCE_S):
        async for block in member.client.events(terms.activation_height):
            if block.height >= terms.activation_height:
                return
