"""``tidegate demo``: commissions and supervised prescriptions on two networks of real daemons, in a few minutes."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click

from ledger.errors import InvalidInput
from node.cli.exit_codes import INTERRUPTED, REFUSED
from node.cli.output import Report, fail


@click.command()
@click.option("--validators", type=click.IntRange(1, 16), default=4, show_default=True, help="Nodes that decide.")
@click.option(
    "--supervision-validators",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    help="Nodes that decide on the supervision chain.",
)
@click.option("--committee", type=click.IntRange(4, 16), help="So many of those decide at a time, in turn.")
@click.option(
    "--epoch-blocks",
    type=click.IntRange(4, 100_000),
    default=50,
    show_default=True,
    help="With --committee: blocks until a seat changes hands.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Also write the result there."
)
@click.option("--keep", is_flag=True, help="Keep homes, keys and logs, and say where they are.")
def command(
    validators: int,
    supervision_validators: int,
    committee: int | None,
    epoch_blocks: int,
    json_file: Path | None,
    *,
    keep: bool,
) -> None:
    """Watch commissions and supervised prescriptions on two local networks.

    Plays the worked example, imports a real file while a validator is killed and comes back, cancels and corrects,
    settles everything. Then 473 prescriptions are filed, reviewed, ordered, paid and delivered under a regulator's
    eyes, while a fusion node is killed. An auditor recomputes books and payments; the exit code is 1 when a check
    fails.
    """
    report = Report(json=False)
    directory = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
    try:
        story = partial(_play, report, directory / "net", validators, supervision_validators)
        result = asyncio.run(story(committee=committee or 0, epoch_blocks=epoch_blocks))
        if json_file is not None:
            _write(json_file, result)
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted; every daemon of the demo was stopped", err=True)
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - the boundary of the process
        fail(report, error)
    finally:
        if keep:
            click.echo(f"kept: {directory / 'net'}; start it again with: tidegate devnet up --home {directory / 'net'}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    if not all(check["ok"] for check in result["checks"]):
        raise SystemExit(REFUSED)


async def _play(
    report: Report, directory: Path, validators: int, supervision_validators: int, *, committee: int, epoch_blocks: int
) -> dict[str, Any]:
    from node.demo.story import Story  # noqa: PLC0415 - brings the whole daemon, which help does without

    task = asyncio.current_task()
    assert task is not None
    # A service manager or `timeout` asks with TERM: the daemons are to be stopped and the homes removed then too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    story = Story(report, directory, validators, supervision_validators, committee=committee, epoch_blocks=epoch_blocks)
    return await story.play()


def _write(path: Path, result: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}", code="file_unwritable") from error
