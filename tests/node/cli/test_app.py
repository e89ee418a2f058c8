"""The root of the command: help at once, every command there, mistakes told in words."""

import importlib
import sys

import click
import pytest
from click.testing import CliRunner

from node.cli import app
from node.cli.app import COMMANDS, VERSION, root

OWN = ("devnet", "node", "key")


def invoke(*arguments):
    return CliRunner().invoke(root, list(arguments))


def test_help_lists_every_command_with_its_purpose():
    result = invoke("--help")
    assert result.exit_code == 0
    assert [name for name, text in COMMANDS.items() if name not in result.output or text not in result.output] == []


def test_version_is_that_of_the_package():
    assert VERSION in invoke("--version").output
    pyproject = (importlib.resources.files("node") / ".." / "pyproject.toml").read_text()
    assert f'version = "{VERSION}"' in pyproject


def test_unknown_command_is_a_usage_error():
    result = invoke("devnets")
    assert result.exit_code == 2
    assert "devnets" in result.output


def test_command_whose_dependency_is_missing_says_so(monkeypatch):
    monkeypatch.delitem(sys.modules, "node.cli.node", raising=False)
    real = importlib.import_module

    def import_module(name):
        if name == "node.cli.node":
            raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")
        return real(name)

    monkeypatch.setattr(app.importlib, "import_module", import_module)
    result = invoke("node", "status")
    assert result.exit_code == 1
    assert "needs pydantic" in result.output


@pytest.mark.parametrize("name", OWN)
def test_every_subcommand_has_help_and_the_machine_form(name):
    group = root.get_command(click.Context(root), name)
    assert isinstance(group, click.Group)
    assert f"tidegate {name} " in group.help
    for subcommand in group.commands.values():
        result = invoke(name, subcommand.name, "--help")
        assert result.exit_code == 0
        assert "--json" in result.output
        assert subcommand.help


def test_usage_mistake_exits_with_two():
    assert invoke("key", "new").exit_code == 2
    assert invoke("devnet", "init", "--validators", "0").exit_code == 2
