"""Exit codes: every error of the tree has one, and the operator's guide shows the same table."""

import re
from pathlib import Path

import pytest

from contracts.codes import Refusal
from ledger import errors
from node.cli import exit_codes
from node.cli.exit_codes import MEANINGS, Refused, exit_code_of
from node.client_errors import rebuild_error
from node.keyfile import PassphraseWrong

TREE = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.TidegateError) and value is not errors.TidegateError
]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_a_published_code(kind):
    code = exit_code_of(kind("words"))
    assert code in MEANINGS
    assert code not in (exit_codes.OK, exit_codes.USAGE)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInput("x"), 3),
        (errors.MalformedBytes("x"), 3),
        (errors.NotFound("x"), 5),
        (errors.Overloaded("x"), 6),
        (errors.InvalidConfig("x"), 78),
        (PassphraseWrong("x"), 78),
        (errors.InvalidConfig("x", code="anything"), 78),
        (errors.InvalidGenesis("x"), 78),
        (errors.InvalidProof("x"), 1),
        (errors.InvalidSignature("x"), 1),
        (Refusal("lock_unsatisfied", "x"), 1),
        (Refused("x", code="not_found"), 1),
        (errors.RpcUnavailable("x"), 4),
        (errors.PeerTimeout("x"), 4),
        (errors.HomeLocked("x"), 75),
        (errors.StorageFault("x"), 74),
        (errors.TransportFailed("x"), 76),
        (errors.BrokenInvariant("x"), 70),
        (errors.LocalMisuse("x"), 70),
        (RuntimeError("x"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_error_ends_the_process_with_its_code(error, code):
    assert exit_code_of(error) == code


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_error_that_came_over_rpc_keeps_its_exit_code(kind):
    families = ("invalid_input", "remote_fault", "local_misuse", "fatal")
    bases = (errors.InvalidInput, errors.RemoteFault, errors.LocalMisuse, errors.Fatal)
    family = next(name for name, base in zip(families, bases, strict=True) if issubclass(kind, base))
    rebuilt = rebuild_error({"code": -32000, "message": "x", "data": {"code": kind.code, "family": family}})
    assert exit_code_of(rebuilt) == exit_code_of(kind("x"))


def test_operators_guide_shows_the_table():
    guide = (Path(__file__).resolve().parents[3] / "docs" / "operator.md").read_text(encoding="utf-8")
    shown = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| ([^|]+?) \|", guide, re.MULTILINE)}
    assert shown == MEANINGS
