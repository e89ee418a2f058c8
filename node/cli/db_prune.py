"""``tidegate db prune``: drop the contents of old blocks of a stopped node."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ledger.errors import InvalidInput
from node.cli.options import home_option, passphrase_from_person
from node.cli.output import Report, reporting


@click.command("prune")
@home_option
@click.option("--retain", required=True, type=click.IntRange(min=1), help="Blocks whose contents are kept.")
@click.option(
    "--archived",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Archive file; repeatable. Given one, nothing is dropped that no archive holds.",
)
@reporting
async def prune_command(report: Report, home: Path, *, retain: int, archived: tuple[Path, ...]) -> None:
    """Drop transactions, receipts and changes of blocks below the last --retain ones; headers and proofs stay.

    Kept in any case: two checkpoint intervals and 64 blocks, for nodes that join, and blocks whose packets wait for the
    other chain. With --archived each file is verified against the home's genesis first.
    """
    from ledger.store_leveldb import LevelStore  # noqa: PLC0415
    from node.chain import Chain  # noqa: PLC0415
    from node.data.pruning import prunable_to, removal  # noqa: PLC0415
    from node.home import Home  # noqa: PLC0415

    begun = time.monotonic()
    with Home.open(home, passphrase=passphrase_from_person) as opened:
        chain = Chain(opened.genesis, LevelStore(str(opened.data_dir / "chain"), create=False))
        try:
            before, target = chain.store.retained_height, prunable_to(chain, retain)
            if archived:
                from node.data.archives import held_by  # noqa: PLC0415

                held = held_by(archived, opened.genesis, chain.store)
                missing = next((height for height in range(max(1, before), target) if height not in held), None)
                if missing is not None:
                    raise InvalidInput(
                        f"block {missing} would be dropped, and no archive given holds it: "
                        f"tidegate archive export --from-height {missing} --to-height {target - 1} -o FILE",
                        code="not_archived",
                        height=missing,
                    )
            with report.progress("pruning", max(0, target - before)) as advance:
                while chain.store.retained_height < target:
                    at = chain.store.retained_height
                    chain.store.store.write(removal(chain.store, target), sync=True)
                    advance(chain.store.retained_height - at)
        finally:
            chain.close()
        if target > before:
            LevelStore.compact(str(opened.data_dir / "chain"))
    shown = {
        "dropped": target - before,
        "retained_height": target,
        "tip": chain.tip.height,
        "seconds": round(time.monotonic() - begun, 2),
    }
    report.success(f"{target - before} blocks pruned; contents are kept from {target} on")
    report.fields(shown)
    report.document(shown)
