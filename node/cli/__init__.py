"""The ``tidegate`` command. Light until a subcommand is chosen: nothing but click is imported."""

from __future__ import annotations

from node.cli.app import root

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``tidegate`` script; ends the process with a code of ``node.cli.exit_codes``."""
    root(prog_name="tidegate")
