"""The pages: what they name is there, and their transcripts, run in order from where they start."""

import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from dvc.cli.parser import get_main_parser

from stages import params
from tests import project
from tests.conftest import copy_with_cache
from tests.helpers import fenced
from tests.project import ROOT, set_params
from tests.repro import from_run_cache, ran

# The pages whose transcripts are run. Each starts in a clone that is set up and has a demo.
PAGES = ["README.md", "docs/experiments.md"]
DONE = "git clone .*|cd <.*|make (setup|demo)|source .venv/bin/activate"


def markdown() -> list[str]:
    """Every page of the repository."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in names.splitlines() if (ROOT / name).is_file())


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def transcript(page: str) -> list[tuple[str, str]]:
    """Commands and what the page shows of their output, from its `console` blocks."""
    text = "".join(text for language, text in fenced(page) if language == "console")
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


def test_what_a_command_starts_is_there():
    """DVC's commands with their options, the Makefile's targets, and modules."""
    parser = get_main_parser()
    targets = re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE)
    for page, words in PROGRAMS:
        if words[0] == "dvc":
            parser.parse_args(words[1:])  # raises DvcParserError
        elif words[0] == "make":
            assert words[1] in targets, page
        elif words[1:2] == ["-m"]:
            assert importlib.util.find_spec(words[2]), page


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


def test_params_that_a_command_sets_are_valid(tmp_path):
    for _, words in PROGRAMS:
        shutil.copy(ROOT / "params.yaml", tmp_path)
        for flag, setting in pairwise(words):
            if flag in ("-S", "--set-param"):
                name, _, values = setting.lstrip("+").partition("=")
                # A sweep has several values; what is in brackets is one.
                for value in [values] if values[:1] == "[" else values.split(","):
                    set_params(tmp_path, {name: yaml.safe_load(value)})
                    params.load(tmp_path / "params.yaml")  # raises InputError


def shell(folder: Path, command: str) -> str:
    """Run `command` as a user would who has activated `.venv`, without a network."""
    environment = {**project.environment(), **project.NO_NETWORK}
    environment.pop("FASHION_MIRROR", None)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,  # DVC reads commits with pygit2, of which 1.21 stood still once
        check=False,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def clones(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a clone for each page; there `.work/demo` holds the demo."""
    folder = tmp_path_factory.mktemp("docs")
    for page in PAGES:
        copy_with_cache(finished, folder / page / ".work/demo")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def outputs(clones: Path) -> list[tuple[str, str, str]]:
    """Every command that was run, with what its page shows and what was printed."""
    steps = []
    for page in PAGES:
        folder = clones / page
        for command, shown in transcript(page):
            if re.fullmatch(DONE, command):
                continue
            if command.startswith("cd "):
                folder = folder / command.removeprefix("cd ")
                assert folder.is_dir(), (page, command)
            else:
                steps.append((command, shown, shell(folder, command)))
    return steps


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
def test_a_page_shows_the_stages_that_a_command_runs(outputs):
    for command, shown, printed in outputs:
        if "--run-all" not in command and shown != "...\n":  # a sweep is shown in parts
            assert ran(shown) == ran(printed), command
            assert from_run_cache(shown) == from_run_cache(printed), command
    assert sum(bool(ran(shown)) for _, shown, _ in outputs) >= 2


@pytest.mark.long
def test_a_page_shows_what_was_printed_and_marks_what_it_leaves_out(outputs):
    for command, shown, printed in outputs:
        if shown.startswith(("Path", "|")):  # elsewhere other numbers may be equal: their rows go
            assert lines(shown)[0] in lines(printed), command
        else:
            assert is_excerpt(shown, printed), f"$ {command}\n{printed}"


@pytest.mark.long
def test_what_is_taken_back_out_leaves_nothing(outputs, clones):
    """The last transcript of the experiments takes a recipe back out that ran."""
    demo = clones / "docs/experiments.md/.work/demo"
    assert shell(demo, "git status --porcelain") == ""
    assert shell(demo, "dvc status").strip() == "Data and pipelines are up to date."
