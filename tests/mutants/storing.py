"""Bugs of the daemon around the core: signer log, order of effects, sets by height, imported blocks."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

_LOG_TESTS = ("tests/node/test_signer_log.py", "tests/node/test_signer_log_damage.py")

STORING = (
    Mutant(
        "no_fsync",
        "the signer log is written and not synced",
        (Edit("node.signer_log", "            os.fdatasync(self._file)\n", "            pass\n"),),
        tests=_LOG_TESTS,
        core=False,
        node=False,
    ),
    Mutant(
        "failed_fsync_ignored",
        "a sync that failed is taken for one that succeeded",
        (
            Edit(
                "node.signer_log", '            raise self._fail("fdatasync", error) from error\n', "            pass\n"
            ),
        ),
        tests=_LOG_TESTS,
        core=False,
        node=False,
    ),
    Mutant(
        "directory_not_synced",
        "a new signer log gets its name without the directory being synced",
        (Edit("node.signer_log", "    _sync_directory(directory)\n    return base\n", "    return base\n"),),
        tests=_LOG_TESTS,
        core=False,
        node=False,
    ),
    Mutant(
        "torn_tail_kept",
        "a torn record at the end of the signer log stays, and the next one is written behind it",
        (Edit("node.signer_log", "                _cut(self._file, good)\n", "                pass\n"),),
        tests=_LOG_TESTS,
        core=False,
    ),
    Mutant(
        "damage_taken_for_a_torn_tail",
        "damage in the middle of the signer log cuts off what follows",
        (
            Edit(
                "node.signer_log",
                "    if place < base or _synced_after(view, place):",
                "    if place < _HEADER.size:",
            ),
        ),
        tests=_LOG_TESTS,
        core=False,
    ),
    Mutant(
        "compaction_loses_the_lock",
        "a compacted signer log holds the votes and not the lock",
        (
            Edit(
                "consensus.state",
                "        records.append(state.current.prepared)\n",
                "        pass\n",
            ),
        ),
    ),
    Mutant(
        "effects_before_persist",
        "the driver performs a turn's effects, and then makes its records durable",
        (
            Edit("node.driver", "            if records:\n                await self._persist(records)\n", ""),
            Edit(
                "node.driver",
                "                    await self._perform(effect)\n",
                "                    await self._perform(effect)\n"
                "            if records:\n                await self._persist(records)\n",
            ),
        ),
        tests=("tests/node/test_driver_durability.py", "tests/node/test_driver.py"),
        core=False,
    ),
    Mutant(
        "import_with_any_certificate",
        "the certificate of an imported block is not verified",
        (
            Edit(
                "node.sync",
                "        verify_certificate(certificate, self._chain.chain_id, seats.validators)\n",
                "",
            ),
        ),
        tests=("tests/node/test_sync.py",),
        core=False,
    ),
    Mutant(
        "import_with_the_wrong_set",
        "an imported block's certificate is verified with the set of the height below",
        (
            Edit(
                "node.sync",
                "        seats = self._chain.seats_at(height)\n",
                "        seats = self._chain.seats_at(height - 1)\n",
            ),
        ),
        tests=("tests/node/test_sync_sets.py",),
        core=False,
    ),
    Mutant(
        "set_in_force_too_early",
        "a change of the set holds at h + 1, before any header has named it",
        (Edit("contracts.validators.records", "AHEAD: Final = 2", "AHEAD: Final = 1"),),
        tests=("tests/contracts/validators",),
        core=False,
    ),
    Mutant(
        "set_never_changes",
        "the seats of later heights are not read again when a block changes them",
        (
            Edit(
                "node.seats",
                "        if self._address and touched(changes, self._prefix):",
                "        if self._address and touched(changes, self._prefix) and height < 0:",
            ),
        ),
        tests=("tests/node/test_changing_sets.py",),
        core=False,
    ),
)
