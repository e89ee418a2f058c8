"""The command behind ``scripts/mutants``: the table, the JSON, and the exit code."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import Fate, Limits, control, hunt, record, report
from tests.mutants.mutant import ROOT, misfits_of

CONTROL_SEEDS = 200


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("scripts/mutants", description="Seeded bugs, each of which has to be noticed.")
    parser.add_argument("names", nargs="*", help="only these mutants")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report")
    parser.add_argument("--seeds", type=int, default=Limits.core_seeds, help="schedules of the core simulator at most")
    parser.add_argument("--node-seeds", type=int, default=Limits.node_seeds, help="of the node simulator; 0: none")
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--record", action="store_true", help="keep who killed whom for the quick check of scripts/test"
    )
    parser.add_argument("--list", action="store_true", help="show the mutants and check that their patches fit")
    return parser.parse_args(arguments)


def tell(fate: Fate) -> None:
    """A line of the table."""
    after = f"{fate.after} {'schedules' if fate.by is None or 'simulator' in fate.by else fate.by + 's'}"
    if fate.after == 1:
        after = after[:-1]
    words = fate.how if len(fate.how) <= 100 else fate.how[:99] + "…"
    print(f"{fate.name:34} {fate.by or 'SURVIVED':15} {after:15} {MUTANTS[fate.name].what}", flush=True)
    if words:
        print(f"{'':34} {words}", flush=True)


def main(arguments: list[str]) -> int:
    """See the module. Returns the exit code: 0, 1 for a survivor, 2 for a patch or a control that does not hold."""
    options = parse(arguments)
    unknown = [name for name in options.names if name not in MUTANTS]
    if unknown:
        print(f"no such mutant: {', '.join(unknown)}", file=sys.stderr)
        return 2
    mutants = [MUTANTS[name] for name in options.names] or list(MUTANTS.values())
    misfits = [words for mutant in mutants for words in misfits_of(mutant)]
    if misfits:
        print(*misfits, sep="\n", file=sys.stderr)
        return 2
    if options.list:
        for mutant in mutants:
            print(f"{mutant.name:34} {mutant.what}")
        return 0
    limits = Limits(options.seeds, options.node_seeds, options.start, options.jobs)
    stages = [("simulator", CONTROL_SEEDS), ("scenario", 0)]
    if limits.node_seeds:
        stages.append(("node simulator", CONTROL_SEEDS // 10))
    wrong = control(stages, options.start)
    if wrong:
        print("without any mutant:", *wrong, sep="\n", file=sys.stderr)
        return 2
    print(f"{'mutant':34} {'killed by':15} {'after':15} what it is")
    fates = hunt(mutants, limits, tell)
    result = report(fates)
    counts = ", ".join(f"{count} by {stage}" for stage, count in result["by"].items() if count)
    print(f"{result['killed']} of {result['mutants']} killed: {counts}")
    if options.record:
        record(fates)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if result["survivors"]:
        print(f"survived: {', '.join(result['survivors'])}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    assert Path.cwd() == ROOT, "run scripts/mutants"
    sys.exit(main(sys.argv[1:]))
