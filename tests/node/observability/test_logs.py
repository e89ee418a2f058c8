"""Logs: every event is a constant, libraries speak in the same form, nothing that is bound gets overwritten."""

from __future__ import annotations

import ast
import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import structlog

from node.observability.library_logs import EVENT, LibraryLogs, take_library_logs

ROOT = Path(__file__).parents[3]
PACKAGES = ("ledger", "consensus", "p2p", "contracts", "node")
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
BOUND = {"node", "chain", "request_id", "level", "timestamp", "event"}


@cache
def log_calls() -> tuple[tuple[str, ast.Call], ...]:
    """Every call of a module's logger, with where it stands."""
    return tuple(_log_calls())


def _log_calls() -> Iterator[tuple[str, ast.Call]]:
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for found in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if (
                    isinstance(found, ast.Call)
                    and isinstance(found.func, ast.Attribute)
                    and isinstance(found.func.value, ast.Name)
                    and found.func.value.id in ("log", "_log")
                    and found.func.attr in LEVELS
                ):
                    yield f"{file.relative_to(ROOT)}:{found.lineno}", found


def events(place: str, node: ast.expr) -> list[str]:
    """What an event's name may be: a constant, a named constant of the module, or one of two."""
    if isinstance(node, ast.IfExp):
        return events(place, node.body) + events(place, node.orelse)
    if isinstance(node, ast.Name):
        text = (ROOT / place.split(":", maxsplit=1)[0]).read_text(encoding="utf-8")
        return re.findall(rf'^{node.id}(?:: Final)? = "(.*)"$', text, re.MULTILINE) or [ast.unparse(node)]
    return [node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)]


def test_event_is_a_constant_in_snake_case_when_anything_is_logged() -> None:
    calls = log_calls()
    assert len(calls) > 80
    for place, call in calls:
        assert len(call.args) == 1, f"{place}: an event, and its data by name"
        for event in events(place, call.args[0]):
            assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", event), f"{place}: {event}"


def test_node_and_chain_stay_what_is_bound_when_anything_is_logged() -> None:
    allowed = {"node/app.py", "node/draining.py"}  # lines of the daemon itself, of one of its chains
    for place, call in log_calls():
        taken = {keyword.arg for keyword in call.keywords} & BOUND
        if taken:
            assert taken == {"chain"}, place
            assert place.split(":")[0] in allowed, place


@pytest.mark.parametrize(
    ("level", "method"),
    [(logging.CRITICAL, "critical"), (logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info")],
)
def test_library_speaks_in_our_form_when_it_logs(level: int, method: str) -> None:
    with structlog.testing.capture_logs() as lines:
        LibraryLogs().handle(logging.LogRecord("some.library", level, "x.py", 1, "%d things", (3,), None))
    assert lines == [
        {"event": EVENT, "library": "some.library", "text": "3 things", "exc_info": None, "log_level": method}
    ]


def test_line_is_kept_when_its_arguments_do_not_fit() -> None:
    with structlog.testing.capture_logs() as lines:
        LibraryLogs().handle(logging.LogRecord("library", logging.ERROR, "x.py", 1, "%d things", ("three",), None))
    assert lines[0]["text"] == "%d things"


def test_text_is_cut_when_a_library_has_much_to_say() -> None:
    with structlog.testing.capture_logs() as lines:
        LibraryLogs().handle(logging.LogRecord("library", logging.ERROR, "x.py", 1, "x" * 100_000, (), None))
    assert len(lines[0]["text"]) <= 2_000


def test_warnings_and_records_become_lines_when_the_daemon_has_taken_over() -> None:
    code = """
import logging, warnings
from node.daemon import configure_logging
configure_logging("info", "json", name="node7", chain="business")
logging.getLogger("library").warning("careful")
logging.getLogger("library").info("chatter")
warnings.warn("old")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["library"]) for line in lines] == [(EVENT, "library"), (EVENT, "py.warnings")]
    assert all((line["node"], line["chain"]) == ("node7", "business") for line in lines)
    assert lines[0]["text"] == "careful"


def test_root_logger_has_one_handler_when_it_is_taken_over_twice() -> None:
    root = logging.getLogger()
    before, level, shown = list(root.handlers), root.level, warnings.showwarning
    try:
        take_library_logs()
        take_library_logs()
        assert [type(handler) for handler in root.handlers] == [LibraryLogs]
    finally:
        logging.captureWarnings(capture=False)
        warnings.showwarning = shown
        root.handlers[:], root.level = before, level
