"""What commands say, and how they end: one layer for all of them.

On a terminal people get tables and progress bars, in a pipe plain text, with ``--json`` one JSON document. Errors go to
stderr in words, with their stable code, and decide the exit code.

    @click.command()
    @click.argument("height", type=int)
    @reporting
    async def command(report: Report, height: int) -> None:
        ...
        report.fields({"height": height, "time": when})
        report.document({"height": height, "time_ms": time_ms})
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, NoReturn, ParamSpec

import click

from ledger.document import to_document
from ledger.errors import TidegateError
from node.cli.exit_codes import INTERNAL, INTERRUPTED, exit_code_of

P = ParamSpec("P")


class Report:
    """Where a command puts what it found. Text methods are silent under ``--json``, ``document`` without it.

    Attributes:
        json: whether the machine form was asked for.
    """

    __slots__ = ("json",)

    def __init__(self, *, json: bool) -> None:
        self.json = json

    @property
    def rich(self) -> bool:
        """True when a person reads stdout on a terminal."""
        return not self.json and sys.stdout.isatty()

    def document(self, value: Any) -> None:
        """The command's whole result as one JSON document; records become objects, bytes hex. Once a command."""
        if self.json:
            click.echo(json.dumps(to_document(value), ensure_ascii=False, indent=2))

    def line(self, text: str = "") -> None:
        """One line of text."""
        if not self.json:
            click.echo(text)

    def success(self, text: str) -> None:
        """One line that says what was done; green on a terminal."""
        if not self.json:
            click.secho(text, fg="green")

    def warning(self, text: str) -> None:
        """One line on stderr, whatever the form of the result."""
        click.secho(f"warning: {text}", fg="yellow", err=True)

    def fields(self, values: Mapping[str, object]) -> None:
        """Names and values, one pair a line, aligned."""
        width = max((len(name) for name in values), default=0)
        for name, value in values.items():
            self.line(f"{click.style(name.ljust(width), dim=True)}  {value}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
        """Rows under headings. Numbers are set to the right.

        Args:
            columns: headings.
            rows: as many values each.
            title: above the table; on a terminal only.
        """
        if self.json:
            return
        data = [list(row) for row in rows]
        cells = [[str(value) for value in row] for row in data]
        right = [bool(data) and all(isinstance(row[i], int | float) for row in data) for i in range(len(columns))]
        if self.rich:
            _rich_table(columns, cells, right, title)
            return
        widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
        for row in [list(columns), *cells]:
            parts = [
                text.rjust(width) if to_right else text.ljust(width)
                for text, width, to_right in zip(row, widths, right, strict=True)
            ]
            click.echo("  ".join(parts).rstrip())

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """A progress bar on stderr, when that is a terminal; gives a function that advances it.

        Args:
            description: what is going on.
            total: steps in all; None shows a spinner.
        """
        if self.json or not sys.stderr.isatty():
            yield _no_advance
            return
        import rich.console  # noqa: PLC0415 - rich takes 70 ms, and most commands do without
        import rich.progress  # noqa: PLC0415

        console = rich.console.Console(stderr=True)
        with rich.progress.Progress(console=console, transient=True) as bar:
            task = bar.add_task(description, total=total)
            yield lambda steps: bar.advance(task, steps)


def _no_advance(steps: int) -> None:
    del steps


def _rich_table(columns: Sequence[str], cells: list[list[str]], right: list[bool], title: str | None) -> None:
    import rich.box  # noqa: PLC0415 - as above
    import rich.console  # noqa: PLC0415
    import rich.table  # noqa: PLC0415
    import rich.text  # noqa: PLC0415

    table = rich.table.Table(title=title, title_justify="left", box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for name, to_right in zip(columns, right, strict=True):
        table.add_column(name, justify="right" if to_right else "left", overflow="fold")
    for row in cells:
        # Text, not str: what a member wrote must not be read as markup.
        table.add_row(*(rich.text.Text(cell) for cell in row))
    rich.console.Console().print(table)


def reporting(
    function: Callable[Concatenate[Report, P], Awaitable[None] | None],
) -> Callable[P, None]:
    """Makes a function the body of a click command: adds ``--json``, runs it, turns errors into words and exit codes.

    Args:
        function: plain or async; takes a ``Report`` first, then what click's options give.
    """

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        report = Report(json=bool(kwargs.pop("json", False)))
        try:
            result = function(report, *args, **kwargs)
            if inspect.iscoroutine(result):
                asyncio.run(result)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo(err=True)
            raise SystemExit(INTERRUPTED) from None
        except Exception as error:  # noqa: BLE001 - the boundary of the process
            fail(report, error)

    return click.option("--json", "json", is_flag=True, help="One JSON document on stdout.")(command)


def fail(report: Report, error: BaseException) -> NoReturn:
    """Says what went wrong and ends the process with its exit code."""
    known = _first_known(error)
    if known is None:
        traceback.print_exception(error)
        click.secho(f"internal error: {type(error).__name__}: {error}", fg="red", err=True)
        report.document({"error": {"code": "internal", "message": str(error)}})
        raise SystemExit(INTERNAL)
    click.echo(f"{click.style('error', fg='red', bold=True)} [{known.code}]: {known.message}", err=True)
    report.document({"error": {"code": known.code, "message": known.message}})
    raise SystemExit(exit_code_of(known))


def _first_known(error: BaseException) -> TidegateError | None:
    if isinstance(error, TidegateError):
        return error
    if isinstance(error, BaseExceptionGroup):
        # One of ours explains a group only when there is nothing else in it: a bug must not hide behind it.
        found = [_first_known(member) for member in error.exceptions]
        return None if None in found else found[0]
    return None
