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
from stages.catalog import NETWORKS
from tests import project
from tests.conftest import copy_with_cache
from tests.project import ROOT, set_params
from tests.repro import from_run_cache, ran
from tests.schema import keys

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


def test_dvc_knows_every_command_and_option():
    parser = get_main_parser()
    for _, words in PROGRAMS:
        if words[0] == "dvc":
            parser.parse_args(words[1:])  # raises DvcParserError


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


def leaves(content: dict, prefix: str = "") -> Iterator[str]:
    """The dotted names of all values in a section."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_params_that_a_page_names_are_known():
    """Only their names: in a snippet `...` may stand for a value, or for the rest of a section."""
    content = yaml.safe_load(read("params.yaml"))
    recipe = re.compile(rf"({'|'.join(NETWORKS)}|backbone|features)\.[^.]+\.")
    known = {recipe.sub(r"\1.NAME.", f"{key.name}.") for key in keys(content)}
    files = ("py", "md", "csv", "json", "yaml", "npy", "npz", "keras", "png", "html")
    for page in markdown():
        snippets = [yaml.safe_load(text) for kind, text in blocks(page) if kind == "yaml"]
        names = [name for each in snippets if isinstance(each, dict) for name in leaves(each)]
        # Not a place for a name, as in `lenet.NAME`.
        names += [name for name in inline(page) if re.fullmatch(r"[a-z0-9_.-]+", name)]
        for name in names:
            if name.split(".")[0] in content and name.split(".")[-1] not in files:
                name = recipe.sub(r"\1.NAME.", f"{name}.")
                assert any(key.startswith(name) or name.startswith(key) for key in known), name


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
