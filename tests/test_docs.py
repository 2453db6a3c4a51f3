"""The transcripts of the README and of `docs/`, run in order in a clean clone."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools import demo

pytestmark = pytest.mark.slow

PAGES = ["README.md", "docs/experiments.md"]
# Commands that the test does not run as they stand, and what sees to them.
ELSEWHERE = {
    "git clone <this repository>": "the fixture `clone` does it",
    "cd <its folder>": "the fixture `clone` does it",
    "make test": "is what runs this",
}


def transcript(page: str) -> list[tuple[str, str]]:
    """Commands and what the page shows of their output, from its `console` blocks."""
    text = (demo.ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    steps = [step for block in blocks for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(command, output) for command, _, output in (step.partition("\n") for step in steps)]


@pytest.fixture(scope="module")
def clone(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone of a repository whose `main` holds the demo's run; DVC finds its cache."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(finished, folder / "origin", ignore=shutil.ignore_patterns("cache", ".work"))
    for command in (
        "git checkout --quiet -b main && git add --all && git commit --quiet --message=run",
        "git clone --quiet . ../clone",
        f"cd ../clone && dvc cache dir --local '{finished}/.dvc/cache'",
        # The environment that runs the tests stands for the clone's own.
        "cd ../clone && mkdir .venv && touch .venv/.ready",
    ):
        shell(folder / "origin", command)
    return folder / "clone"


def shell(folder: Path, command: str) -> str:
    """Run `command` as a user would who has set up and activated `.venv`, without a network."""
    name = {"NAME": "A Reader", "EMAIL": "reader@example.org"}
    environment = {
        **{key: value for key, value in os.environ.items() if key != "FASHION_MIRROR"},
        **{f"GIT_{role}_{key}": name[key] for role in ("AUTHOR", "COMMITTER") for key in name},
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"
    return done.stdout


def stages(output: str) -> list[str]:
    return re.findall(r"^Running stage '(.*)'", output, re.MULTILINE)


@pytest.fixture(scope="module")
def outputs(clone: Path) -> list[tuple[str, str, str]]:
    """Every command, what its page shows of its output, and what it really printed."""
    return [
        (command, shown, shell(clone, command))
        for page in PAGES
        for command, shown in transcript(page)
        if command not in ELSEWHERE
    ]


def test_every_command_runs(outputs):
    assert len(outputs) > 20


def test_a_page_shows_the_stages_that_a_command_runs(outputs):
    compared = [
        (command, stages(shown), stages(printed))
        for command, shown, printed in outputs
        if stages(shown) and not command.startswith("make repro")
    ]
    assert len(compared) >= 2
    for command, shown, ran in compared:
        assert shown == ran, command


def test_a_page_shows_real_headings(outputs):
    """The first line of a table that DVC draws is the same, whatever the numbers below it."""
    compared = 0
    for command, shown, printed in outputs:
        if not printed.startswith("Path"):
            continue  # where nothing differs, as accuracies of random weights, DVC prints nothing
        for heading in re.findall(r"^Path .*", shown, re.MULTILINE):
            assert heading.split() in [line.split() for line in printed.splitlines()], command
            compared += 1
    assert compared


def test_what_is_run_elsewhere_is_still_on_a_page():
    commands = {command for page in PAGES for command, _ in transcript(page)}
    assert set(ELSEWHERE) <= commands


def test_pages_have_no_commands_outside_of_console_blocks():
    for page in PAGES:
        text = (demo.ROOT / page).read_text(encoding="utf-8")
        kinds = re.findall(r"^```(\S*)\n.*?^```$", text, re.MULTILINE | re.DOTALL)
        assert set(kinds) <= {"console", "text"}, page


def test_targets_that_a_page_names_are_in_the_makefile():
    targets = re.findall(r"^([a-z-]+):", (demo.ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in PAGES:
        named = re.findall(r"`make ([a-z-]+)", (demo.ROOT / page).read_text())
        assert set(named) <= set(targets), page


def test_pages_link_to_what_is_there():
    for page in PAGES:
        folder = (demo.ROOT / page).parent
        links = re.findall(r"\]\(([^)#]+)", (demo.ROOT / page).read_text(encoding="utf-8"))
        for link in links:
            assert link.startswith("https://") or (folder / link).exists(), (page, link)


def test_the_editors_questions_are_answered(outputs, clone):
    """What DVC's extension for Visual Studio Code asks for, by its source, and all it shows."""
    rows = json.loads(shell(clone, "dvc exp show --json 2>/dev/null"))
    assert {row["name"] for row in rows} >= {"main"}
    for row in rows:
        assert not row["error"]
        assert not any(file.get("error") for file in row["data"]["metrics"].values())
    plots = json.loads(shell(clone, "dvc plots diff --json --split main narrow-head 2>/dev/null"))
    assert "errors" not in plots
    wanted = yaml.safe_load((demo.ROOT / "dvc.yaml").read_text())["plots"]
    assert len(plots["data"]) >= len(wanted)
    json.loads(shell(clone, "dvc data status --json 2>/dev/null"))
