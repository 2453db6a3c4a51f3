"""The pages: what they name is there, and their transcripts, run in order from where they start."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli.parser import get_main_parser

from stages import params
from stages.cli import InputError
from tests import project
from tests.conftest import copy_with_cache
from tests.project import ROOT
from tests.repro import from_run_cache, ran

# The pages whose transcripts are run, in this order.
PAGES = ["README.md", "docs/experiments.md"]
# Their commands that are not run as they stand, and what sees to them.
ELSEWHERE = {
    r"git clone .*": "the fixture `outputs` does it",
    r"cd <.*>": "every page starts there",
    r"make demo": "the fixture `finished` ran it; its folder is copied to where a page goes on",
    r"make test.*": "is what runs this",
}
# DVC 3.67 reads commits with pygit2, of which 1.21 may stand still for ever: its
# `_BlobIO.readinto` can clear the event that it waits for next. Seen once, on a loaded machine.
LONGEST = {"diff": 120, "show": 120}


def markdown() -> list[str]:
    """Every page of the repository."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in names.splitlines() if (ROOT / name).is_file())


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """What a page has in fences: the kind, and the text."""
    return re.findall(r"^```(\S*)[^\n]*\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)


def inline(page: str) -> list[str]:
    """What a page has in single backticks."""
    prose = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose)]


def transcript(page: str) -> list[tuple[str, str]]:
    """Commands and what the page shows of their output, from its `console` blocks."""
    text = "".join(text for kind, text in blocks(page) if kind == "console")
    # A command goes on in the next line after a backslash.
    return re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)


def programs(page: str) -> list[list[str]]:
    """The words of every command on a page, without the variables set before it."""
    found = []
    for command, _ in transcript(page):
        for part in re.split(r"\s(?:&&|\|\|?|;)\s", command.replace("\\\n", " ")):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            found.append(words)
    return [words for words in found if words]


PROGRAMS = [(page, words) for page in markdown() for words in programs(page)]


def test_every_command_is_valid_in_bash():
    for page in markdown():
        for command, _ in transcript(page):
            command = re.sub(r"<[\w ]+>", "it", command)  # as in `git clone <this repository>`
            done = subprocess.run(["bash", "-n", "-c", command], check=False, capture_output=True)
            assert done.returncode == 0, (page, command, done.stderr)


def test_dvc_knows_every_command_and_option():
    parser = get_main_parser()
    for _, words in PROGRAMS:
        if words[0] == "dvc":
            parser.parse_args(words[1:])  # raises DvcParserError


def test_commands_stand_in_console_blocks():
    for page in markdown():
        for kind, text in blocks(page):
            assert kind not in ("bash", "sh", "shell", "zsh"), (page, text)
            assert kind == "console" or not re.search(r"^\$ ", text, re.MULTILINE), (page, text)


def test_targets_that_a_page_names_are_in_the_makefile():
    targets = re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE)
    for page in markdown():
        named = [words[1] for where, words in PROGRAMS if where == page and words[0] == "make"]
        for text in inline(page):
            named += re.findall(r"\bmake ([a-z][a-z-]*)", text)
        assert set(named) <= set(targets), page


def test_modules_that_a_page_runs_are_there():
    for page in markdown():
        named = [words[2] for where, words in PROGRAMS if where == page and words[1:2] == ["-m"]]
        named += [match for text in inline(page) for match in re.findall(r"python -m (\S+)", text)]
        for name in named:
            if name.split(".")[0] in ("stages", "tools", "benchmarks") and "NAME" not in name:
                assert importlib.util.find_spec(name), (page, name)


def test_stages_that_a_page_names_are_in_the_graph():
    stages = yaml.safe_load(read("dvc.yaml"))["stages"]
    for page in markdown():
        shown = "".join(output for _, output in transcript(page))
        named = re.findall(r"\bstage '(\w+)", shown, re.IGNORECASE)
        named += [name for text in inline(page) for name in re.findall(r"^(\w+)@[\w-]+$", text)]
        assert set(named) <= set(stages), page


def anchors(page: str) -> set[str]:
    """The names by which a page's headings are linked to."""
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pages_link_to_what_is_there():
    for page in markdown():
        for link in re.findall(r"\]\(([^)\s]+)", read(page)):
            name, _, anchor = link.partition("#")
            if re.match(r"(https?|mailto):", link):
                continue
            target = (ROOT / page).parent / name if name else ROOT / page
            assert target.exists(), (page, link)
            if anchor and target.suffix == ".md":
                assert anchor in anchors(str(target.resolve().relative_to(ROOT))), (page, link)


def merge(into: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def nested(name: str, value: Any) -> dict[str, Any]:
    """`nested("a.b", 1)` is `{"a": {"b": 1}}`."""
    for key in reversed(name.split(".")):
        value = {key: value}
    return value


PARAMS = yaml.safe_load(read("params.yaml"))


def complaints(folder: Path, changes: dict[str, Any]) -> list[str]:
    """What the check of `params.yaml` in `folder` says of it after `changes`, a line each."""
    content = yaml.safe_load(read("params.yaml"))
    merge(content, changes)
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    try:
        params.load(folder / "params.yaml")
    except InputError as error:
        return str(error).splitlines()
    return []


def test_params_that_a_command_sets_are_valid(project):
    for page, words in PROGRAMS:
        together: dict[str, Any] = {}
        for flag, setting in pairwise(words):
            if flag in ("-S", "--set-param"):
                name, _, values = setting.lstrip("+").partition("=")
                # A sweep has several values; what is in brackets is one.
                for value in [values] if values[:1] == "[" else values.split(","):
                    merge(together, nested(name, yaml.safe_load(value)))
                    found = [line for line in complaints(project, together) if name in line]
                    assert not found, (page, setting)
        assert not complaints(project, together), (page, words)


def test_params_in_a_snippet_have_names_that_are_known(project):
    """Only their names: `...` may stand for a value, or for the rest of a section."""
    for page in markdown():
        for kind, text in blocks(page):
            snippet = yaml.safe_load(text) if kind == "yaml" else None
            if isinstance(snippet, dict) and set(snippet) & set(PARAMS):
                unknown = [line for line in complaints(project, snippet) if "unknown key" in line]
                assert not unknown, page


def test_params_that_a_page_names_are_known(project):
    files = ("py", "md", "csv", "json", "yaml", "npy", "npz", "keras", "png", "html")
    for page in markdown():
        for name in inline(page):
            section, *keys = name.split(".")
            if section not in PARAMS or not keys or not re.fullmatch(r"[a-z0-9_.-]+", name):
                continue  # a place for a name, as in `lenet.NAME`, is not looked up
            if keys[-1] not in files:
                found = complaints(project, nested(name, "?"))
                assert not [line for line in found if "unknown key" in line], (page, name)


def test_what_is_run_elsewhere_is_still_on_a_page():
    commands = [command for page in PAGES for command, _ in transcript(page)]
    named = [text for page in PAGES for text in inline(page)]
    for pattern in ELSEWHERE:
        assert any(re.fullmatch(pattern, text) for text in commands + named), pattern


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
    words = command.split()
    longest = next((LONGEST[word] for word in words if word in LONGEST), None)
    for timeout in (longest, None):
        started = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = started.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
            continue
        break
    assert started.returncode == 0, f"$ {command}\n{printed}"
    return printed


def follow(page: str, clone: Path, finished: Path) -> Iterator[tuple[str, str, str, Path]]:
    """Run a page: every command, what it shows, what was printed, and where that was."""
    folder = clone
    for command, shown in transcript(page):
        if command == "make demo":
            shutil.rmtree(clone / ".work/demo", ignore_errors=True)
            copy_with_cache(finished, clone / ".work/demo")
        if any(re.fullmatch(pattern, command) for pattern in ELSEWHERE):
            continue
        if command.startswith("cd "):
            folder = folder / command.removeprefix("cd ")
            assert folder.is_dir(), (page, command)
        elif command != "source .venv/bin/activate":
            yield command, shown, shell(folder, command), folder


@pytest.fixture(scope="module")
def clone(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clean clone of a repository whose `main` holds the demo's run; DVC finds its cache."""
    folder = tmp_path_factory.mktemp("docs")
    project.git(folder, "clone", "--quiet", str(finished), "clone")
    project.dvc(folder / "clone", "cache", "dir", "--quiet", "--local", f"{finished}/.dvc/cache")
    # The environment that runs the tests stands for the clone's own.
    (folder / "clone/.venv").mkdir()
    (folder / "clone/.venv/.ready").touch()
    yield folder / "clone"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def outputs(clone: Path, finished: Path) -> list[tuple[str, str, str, str]]:
    """Every command that was run, by its page, with what that shows and what was printed."""
    return [(page, *step[:3]) for page in PAGES for step in follow(page, clone, finished)]


def lines(text: str) -> list[str]:
    """Lines to compare: without numbers, hashes, the width of columns and the order of a list."""
    text = re.sub(r"\b(?=[a-z]*\d)[0-9a-f]{7,}\b", "#", text)
    text = re.sub(r"[-+]?\d+(?:[.,]\d+)*(?:e-?\d+)?", "#", text)
    text = re.sub(r"-{3,}", "---", text)
    words = (re.findall(r"[^\s,]+", line) for line in text.splitlines())
    return [" ".join(sorted(line)) for line in words if line]


def is_excerpt(shown: str, printed: str) -> bool:
    """Whether `printed` is what is shown, where a line `...` stands for any number of lines."""
    rest, begins = lines(printed), True
    for part in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE):
        wanted = lines(part)
        places = [0] if begins else range(len(rest) - len(wanted) + 1)
        begins = False
        found = next((at for at in places if rest[at : at + len(wanted)] == wanted), None)
        if found is None:
            return False
        rest = rest[found + len(wanted) :]
    return not rest or shown.endswith("...\n")


def test_an_excerpt_has_the_lines_that_were_printed_in_their_order():
    printed = "one 1\ntwo 2\nthree 3\nfour 4\n"
    for shown in (printed, "one 5\n...\n", "...\nfour 4\n", "one 1\n...\nthree 3\n...\n", "...\n"):
        assert is_excerpt(shown, printed), shown
    for shown in ("", "one 1\n", "two 2\n...\n", "...\nthree 3\n", "...\ntwo 2\none 1\n...\n"):
        assert not is_excerpt(shown, printed), shown


@pytest.mark.long
def test_every_command_runs(outputs):
    assert {page for page, *_ in outputs} == set(PAGES)


@pytest.mark.long
def test_a_page_shows_the_stages_that_a_command_runs(outputs):
    compared = 0
    for page, command, shown, printed in outputs:
        # The README shows what the whole study prints; a sweep is shown in parts.
        if page != "README.md" and "--run-all" not in command:
            assert ran(shown) == ran(printed), command
            assert from_run_cache(shown) == from_run_cache(printed), command
            compared += bool(ran(shown))
    assert compared >= 3


@pytest.mark.long
def test_a_page_shows_what_was_printed_and_marks_what_it_leaves_out(outputs):
    for page, command, shown, printed in outputs:
        if page == "README.md":
            continue
        if shown.startswith(("Path", "|")):  # elsewhere other numbers may be equal: their rows go
            assert lines(shown)[0] in lines(printed), command
        else:
            assert is_excerpt(shown, printed), f"$ {command}\n{printed}"


@pytest.mark.long
def test_the_editors_questions_are_answered(outputs, clone):
    """What DVC's extension for Visual Studio Code asks for, by its source, and all it shows."""
    folder = clone / ".work/demo"
    rows = json.loads(shell(folder, "dvc exp show --json 2>/dev/null"))
    assert {row["name"] for row in rows} >= {"main"}
    for row in rows:
        assert not row["error"]
        assert not any(file.get("error") for file in row["data"]["metrics"].values())
    plots = json.loads(shell(folder, "dvc plots diff --json --split main slower 2>/dev/null"))
    assert "errors" not in plots
    wanted = yaml.safe_load(read("dvc.yaml"))["plots"]
    assert len(plots["data"]) >= len(wanted)
    json.loads(shell(folder, "dvc data status --json 2>/dev/null"))
