"""Rules about the tree that no linter knows."""

from __future__ import annotations

import ast
import importlib
import json
import os
import pkgutil
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

import bot
from bot.actions import registry
from bot.cases.policy import DEFAULT_POLICY, STEPS, read_policy
from bot.handlers.commands import commands

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT.parent / "shared" / "facts" / "slack_manifest_schema.json"


def tracked(*patterns: str) -> list[Path]:
    """The files that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def modules() -> list[str]:
    return [info.name for info in pkgutil.walk_packages(bot.__path__, "bot.")]


@pytest.mark.parametrize(
    "name", [m for m in modules() if "migrations" not in m and m != "bot.__main__"]
)
def test_every_module_can_be_imported_alone(name: str) -> None:
    assert importlib.import_module(name).__doc__


def test_every_module_opens_with_one_sentence() -> None:
    wrong = []
    for path in (ROOT / "bot").rglob("*.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first = docstring.split("\n\n")[0]
        if not first.endswith((".", "?", "`")):
            wrong.append(str(path.relative_to(ROOT)))
    assert wrong == []


def test_the_manifest_is_valid_against_slacks_schema() -> None:
    if not SCHEMA.is_file():
        pytest.skip("Slack's published schema is not beside the project")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    manifest = yaml.safe_load((ROOT / "app_manifest.yml").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(manifest)


def test_the_manifest_offers_every_subcommand() -> None:
    manifest = yaml.safe_load((ROOT / "app_manifest.yml").read_text(encoding="utf-8"))
    (command,) = manifest["features"]["slash_commands"]
    hints = {hint.split()[0] for hint in command["usage_hint"].split("|")}
    assert hints == set(commands())


def test_the_workspace_grants_what_the_manifest_asks_for() -> None:
    from bot.playground.workspace.seed import demo_seed

    manifest = yaml.safe_load((ROOT / "app_manifest.yml").read_text(encoding="utf-8"))
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == set(demo_seed().scopes)


def test_the_policy_says_who_may_do_each_action_and_step() -> None:
    policy = read_policy(DEFAULT_POLICY, registry())
    assert set(policy.file.actions) == {*registry(), *STEPS}


def test_each_undo_is_an_action_and_each_dangerous_one_asks_for_a_reason() -> None:
    for action in registry().values():
        assert action.undo is None or action.undo in registry()
        assert bool(action.reasons) == action.dangerous


def test_the_contract_is_the_one_that_adopters_were_given() -> None:
    given = ROOT.parent / "shared" / "contract"
    if not given.is_dir():
        pytest.skip("the contract as given is not beside the project")
    for name in ("market.sql", "market-api.yaml"):
        assert (ROOT / "contract" / name).read_bytes() == (given / name).read_bytes()


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    # Put together here, so that this file does not name them either.
    forbidden = re.compile(
        "|".join(
            (
                r"files\.python" + "hosted",
                r"pypi\.org" + "/simple",
                r"registry\.npm" + "js",
                r"deb\.debian" + r"\.org",
                "/work/" + "main",
                "/work/" + "shared",
                "/root/" + r"\.",
            )
        )
    )
    named = []
    for path in tracked():
        if not path.is_file():
            continue
        try:
            content = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if forbidden.search(content):
            named.append(str(path.relative_to(ROOT)))
    assert named == []


def test_no_test_replaces_a_part_with_a_mock() -> None:
    pattern = re.compile(r"unittest\.mock|Magic" + r"Mock|monkeypatch\.setattr")
    files = [p for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__)]
    assert [str(p) for p in files if pattern.search(p.read_text(encoding="utf-8"))] == []


def test_readme_links_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        content = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", content):
            if not target.startswith("http"):
                assert (ROOT / target).exists(), f"{name}: {target}"


def test_readme_commands_exist() -> None:
    content = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)", content)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    used = set(re.findall(r"mimawari ([a-z]+)(?: ([a-z]+))?", content))
    from bot.cli import cli

    for first, second in used:
        assert first in cli.commands, first
        group = cli.commands[first]
        if second and hasattr(group, "commands"):
            assert second in group.commands


def test_scripts_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
