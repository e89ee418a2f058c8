"""Bugs of the daemon around the core: the signer log, the driver's order of effects, sets by height."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

STORING: tuple[Mutant, ...] = (
    Mutant(
        "no_fsync",
        "the signer log is written and not synced",
        (Edit("node.signer_log", "            os.fdatasync(self._file)\n", "            pass\n"),),
        tests=("tests/node/test_signer_log.py",),
        core=False,
    ),
    Mutant(
        "torn_tail_kept",
        "a torn record at the end of the signer log is left there, and the next one is written behind it",
        (Edit("node.signer_log", "                _cut(self._file, good)\n", "                pass\n"),),
        tests=("tests/node/test_signer_log.py",),
        core=False,
    ),
    Mutant(
        "damage_taken_for_a_torn_tail",
        "damage in the middle of the signer log cuts off what follows",
        (
            Edit(
                "node.signer_log", "    if place < base or _synced_after(view, place):", "    if place < _HEADER.size:"
            ),
        ),
        tests=("tests/node/test_signer_log.py",),
        core=False,
    ),
)
