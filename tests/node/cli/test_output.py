"""What commands say: tables, plain text, one JSON document; errors on stderr with code and exit code."""

import json

import click
import pytest
from click.testing import CliRunner

from ledger.errors import NotFound, Overloaded
from ledger.transaction import Output
from node.cli.exit_codes import Refused
from node.cli.output import Report, reporting


def run(body, *arguments):
    return CliRunner().invoke(click.command()(reporting(body)), list(arguments))


def terminal(monkeypatch):
    monkeypatch.setattr(Report, "rich", property(lambda self: not self.json))


def test_text_goes_to_people_and_document_to_machines():
    def body(report):
        report.success("done")
        report.fields({"height": 7, "a long name": "x"})
        report.document({"height": 7, "id": b"\x01\xff", "output": Output("CNY", 5, "key(x)")})

    assert run(body).stdout == "done\nheight       7\na long name  x\n"
    assert json.loads(run(body, "--json").stdout) == {
        "height": 7,
        "id": "01ff",
        "output": {"asset": "CNY", "amount": 5, "lock": "key(x)"},
    }


def test_piped_table_is_plain_and_numbers_are_set_right():
    def body(report):
        report.table(["name", "amount"], [["a", 1], ["long name", 1000]], title="unseen")

    assert run(body).stdout == "name       amount\na               1\nlong name    1000\n"
    assert run(body, "--json").stdout == ""


def test_empty_table_shows_its_headings():
    assert run(lambda report: report.table(["name", "amount"], [])).stdout == "name  amount\n"


def test_terminal_table_does_not_read_markup_from_members(monkeypatch):
    terminal(monkeypatch)
    result = run(lambda report: report.table(["name"], [["[red]not red[/red]"]], title="shown"))
    assert "[red]not red[/red]" in result.stdout
    assert "shown" in result.stdout


def test_async_body_runs_to_its_end():
    async def body(report):
        report.line("awaited")

    assert run(body).stdout == "awaited\n"


def test_known_error_is_one_sentence_with_its_code_on_stderr():
    def body(report):
        raise NotFound("there is no block 9")

    result = run(body)
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr == "error [not_found]: there is no block 9\n"


def test_known_error_is_a_document_too_when_asked():
    async def body(report):
        raise Refused("the lock is not satisfied", code="lock_unsatisfied")

    result = run(body, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"error": {"code": "lock_unsatisfied", "message": "the lock is not satisfied"}}
    assert "lock_unsatisfied" in result.stderr


def test_bug_exits_with_seventy_and_its_traceback():
    def body(report):
        raise ZeroDivisionError("oh")

    result = run(body)
    assert result.exit_code == 70
    assert "Traceback" in result.stderr
    assert "internal error: ZeroDivisionError: oh" in result.stderr


def test_group_of_one_kind_is_unwrapped_but_never_hides_a_bug():
    def full(report):
        raise ExceptionGroup("tasks", [Overloaded("full"), ExceptionGroup("more", [Overloaded("full")])])

    def mixed(report):
        raise ExceptionGroup("tasks", [Overloaded("full"), ZeroDivisionError("oh")])

    assert (run(full).exit_code, run(full).stderr) == (6, "error [overloaded]: full\n")
    assert run(mixed).exit_code == 70


def test_interrupt_exits_with_130():
    def body(report):
        raise KeyboardInterrupt

    assert run(body).exit_code == 130


@pytest.mark.parametrize(("raised", "code"), [(click.UsageError("no"), 2), (click.exceptions.Exit(4), 4)])
def test_clicks_own_endings_pass(raised, code):
    def body(report):
        raise raised

    assert run(body).exit_code == code


def test_progress_is_silent_when_nobody_watches():
    def body(report):
        with report.progress("working", total=2) as advance:
            advance(1)
            advance(1)
        report.line("done")

    result = run(body)
    assert (result.stdout, result.stderr) == ("done\n", "")


def test_progress_bar_is_drawn_on_a_terminal(monkeypatch):
    class Terminal:
        def __init__(self, stream):
            self._stream = stream

        def isatty(self):
            return True

        def __getattr__(self, name):
            return getattr(self._stream, name)

    def body(report):
        import sys

        monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
        with report.progress("working", total=2) as advance:
            advance(2)
        report.line("done")

    result = run(body)
    assert result.exit_code == 0
    assert "working" in result.stderr
    assert result.stdout == "done\n"


def test_warning_is_on_stderr_in_both_forms():
    def body(report):
        report.warning("careful")
        report.document([])

    assert run(body).stderr == "warning: careful\n"
    assert json.loads(run(body, "--json").stdout) == []
