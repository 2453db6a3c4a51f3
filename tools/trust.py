"""Run the tests that stand for each property, and write the table in `docs/trust.md`.

`python -m tools.trust` runs them all, which takes long; `python -m tools.trust leaks outside` those
of two rows. A row that does not run keeps what its last run gave, by `docs/trust.json`, and beside
it of which commit that was; one that never ran says so. With `--short` the tests marked `long` are
left out.
"""

import argparse
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree  # nosec B405

import pytest

from stages.base.files import read_json, write_json
from stages.cli import InputError
from tools.demo import ROOT

PAGE = ROOT / "docs" / "trust.md"
RESULTS = ROOT / "docs" / "trust.json"
REPORTS = ROOT / ".work" / "trust"
BEGIN, END = "<!-- table: python -m tools.trust writes it -->\n", "<!-- end of the table -->\n"
HEADER = """| row | property | how it is tested | cases | result | commit |
| --- | --- | --- | ---: | --- | --- |
"""


@dataclass(frozen=True)
class Row:
    """A property, how it is tested in a few words, and the tests that stand for it."""

    property: str
    how: str
    tests: tuple[str, ...]


ROWS = {
    "bytes": Row(
        "The same inputs give the same bytes",
        "the demo from nothing a second time, single stages again, elsewhere, watched",
        (
            "tests/test_demo.py::test_a_second_run_gives_the_same_bytes",
            "tests/test_demo.py::test_a_second_run_from_nothing_gives_the_same_hashes",
            "tests/test_tools.py::test_verify_tells_the_same_bytes_from_others",
            "tests/test_ingest.py::TestSample::test_written_whole_and_the_same_again",
            "tests/test_clean.py::test_a_second_run_gives_the_same_bytes",
            "tests/test_eda.py::test_a_second_run_gives_the_same_bytes",
            "tests/test_encode.py",
            "tests/test_weights.py::TestStage",
            "tests/test_training.py::test_watching_changes_no_byte",
            "tests/test_report.py::test_the_same_inputs_give_the_same_bytes_wherever_they_lie",
        ),
    ),
    "kills": Row(
        "What is killed goes on, and ends in the same bytes",
        "the demo killed 50 times, in each kind of stage and then at random; each kind of work "
        "broken off at a chosen moment",
        (
            "tests/test_kills.py::test_fifty_kills_lose_nothing_and_change_no_byte",
            "tests/test_training.py::TestOneFold"
            "::test_killed_and_started_again_it_ends_in_the_same_bytes",
            "tests/test_heads.py::test_killed_and_started_again_it_ends_in_the_same_bytes",
            "tests/test_features.py"
            "::test_killed_and_started_again_it_goes_on_after_the_last_finished_chunk",
            "tests/test_tune.py::test_an_interrupted_search_goes_on_and_finds_the_same",
            "tests/test_demo.py::test_a_finished_fold_is_not_trained_again_after_a_kill",
            "tests/test_run_cache.py::test_an_evaluation_that_fails_leaves_the_old_numbers",
            "tests/test_files.py::test_a_kill_while_folders_are_moved_loses_neither",
        ),
    ),
    "signals": Row(
        "Ctrl-C and a closed terminal lose nothing",
        "a fold stopped by each of them, and started again",
        ("tests/test_kills.py::test_a_fold_goes_on_where_it_was_left",),
    ),
    "room": Row(
        "A full disk, a read-only folder, too little memory: one line, and nothing is lost",
        "`ingest`, `clean`, `encode`, a training on a small file system or with a limit; killed by "
        "Linux",
        ("tests/test_no_room.py",),
    ),
    "fuzz": Row(
        "Damaged input gives a result or one clear error",
        "Hypothesis edits good files of fourteen kinds",
        ("tests/test_fuzz.py",),
    ),
    "outside": Row(
        "Nothing from outside runs, or grows without end",
        "models, arrays, YAML, pictures, mirrors and downloads made to",
        (
            "tests/test_outside.py",
            "tests/test_predict.py::TestForeignCode",
            "tests/test_predict.py::TestRefusals",
            "tests/test_params.py::test_a_file_that_holds_no_params",
            "tests/test_download.py",
            "tests/test_ingest.py::TestMirror",
        ),
    ),
    "leaks": Row(
        "No test image helps to train or to choose",
        "the images themselves, the graph, the code, the folds in Git, what is fitted",
        (
            "tests/test_leaks.py",
            "tests/test_wiring.py::test_no_training_depends_on_the_test_set",
            "tests/test_clean.py::test_drops_what_pandas_drops",
            "tests/test_features.py::test_every_row_is_its_own_images",
            "tests/test_training.py::TestFolds",
            "tests/test_heads.py::TestHead::test_rows_beyond_the_given_ones_do_not_count",
            "tests/test_heads.py::test_it_is_standardised_by_its_training_images_of_both_sides",
            "tests/test_evaluation.py::TestEvaluate"
            "::test_the_test_images_do_not_move_the_temperature",
            "tests/test_compare.py::test_the_best_fold_is_chosen_on_validation_images",
            "tests/test_compare.py"
            "::test_an_ensemble_is_weighted_on_images_that_no_member_was_trained_on",
            "tests/test_compare.py::test_predictions_are_calibrated_on_validation_images_alone",
        ),
    ),
    "radius": Row(
        "A change reruns what depends on it, and nothing else",
        "every key of the params, every script and every module, by the graph and by DVC",
        ("tests/test_wiring.py",),
    ),
    "stranger": Row(
        "It runs on a stranger's machine",
        "a bare root, a user without rights, a path with blanks, `LANG=C`, other Pythons",
        ("tests/test_stranger.py",),
    ),
}


@dataclass(frozen=True)
class Result:
    """What the tests of a row gave.

    cases: that passed; a test that tries many says how many by the property `cases`.
    failed: the names of the tests, those with an error in a fixture too.
    skipped: how many, by the reason.
    short: the long ones were left out.
    commit: with a word more, if there were changes that it has not.
    """

    cases: int
    failed: list[str]
    skipped: dict[str, int]
    short: bool
    commit: str


def read_report(path: Path, short: bool, commit: str) -> Result:
    """What pytest wrote to `path` by `--junitxml` a moment ago: nothing from outside."""
    cases, failed, skipped = 0, [], Counter()
    for case in ElementTree.parse(path).iter("testcase"):  # nosec B314
        if (found := case.find("skipped")) is not None:
            skipped[found.get("message", "")] += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            failed.append(case.get("name"))
        else:
            counts = [each for each in case.iter("property") if each.get("name") == "cases"]
            cases += sum(int(each.get("value")) for each in counts) if counts else 1
    return Result(cases, sorted(set(failed)), dict(skipped), short, commit)


def run(name: str, row: Row, short: bool) -> Result | None:
    """Run the tests of a row, and note what they gave; what it gave last, if all are left out.

    Raises:
        InputError: pytest did not come so far as to run them.
    """
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *row.tests]
    commit = current_commit()
    status = subprocess.run(
        [*command, "-m", "not long"] if short else command, cwd=ROOT, check=False
    ).returncode
    if short and status == pytest.ExitCode.NO_TESTS_COLLECTED:
        return last_result(name)
    # 1: some tests failed. More: it was interrupted, or given what is not there.
    if status > 1 or not report.exists():
        raise InputError(f"pytest ended with {status} in row {name}; what it said stands above")
    result = read_report(report, short, commit)
    results = read_json(RESULTS) if RESULTS.exists() else {}
    write_json(RESULTS, results | {name: asdict(result)})
    return result


def current_commit() -> str:
    """Its first digits, and whether anything differs from it but what is written here."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    changes = git("status", "--porcelain", "--", ".", ":!docs/trust.*")
    return git("rev-parse", "--short=8", "HEAD") + (", changed" if changes else "")


def last_result(name: str) -> Result | None:
    results = read_json(RESULTS) if RESULTS.exists() else {}
    return Result(**results[name]) if name in results else None


def line(name: str, row: Row, result: Result | None) -> str:
    """The row in Markdown."""
    if not result:
        verdict = "not run" if row.tests else "no test yet"
        cells = [name, row.property, row.how, "", verdict, ""]
    else:
        parts = ["passed"] if result.cases and not result.failed else []
        if result.failed:
            parts.append(f"**{len(result.failed)} failed**: {', '.join(result.failed)}")
        parts += [f"{count} skipped ({reason})" for reason, count in result.skipped.items()]
        if result.short:
            parts.append("the long tests were not run")
        cells = [name, row.property, row.how, f"{result.cases:,}", "; ".join(parts), result.commit]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


def write_page(results: dict[str, Result | None]) -> None:
    """Put the table between its two marks, and leave the rest of the page as it is."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    table = HEADER + "".join(line(name, ROWS[name], found) for name, found in results.items())
    PAGE.write_text(before + BEGIN + "\n" + table + "\n" + END + after, encoding="utf-8")


def main(names: list[str], short: bool) -> None:
    """Run the rows `names`, or all, and write the page after each.

    Raises:
        InputError: a row is unknown, its tests did not run, or some of them failed.
    """
    for name in names:
        if name not in ROWS:
            raise InputError(f"there is no row {name!r}; there are {', '.join(ROWS)}")
    results = {name: last_result(name) for name in ROWS}
    for name in names or ROWS:
        if ROWS[name].tests:
            results[name] = run(name, ROWS[name], short)
            write_page(results)
    print(f"trust: {PAGE.relative_to(ROOT)} is written")
    failing = [name for name, found in results.items() if found and found.failed]
    if failing:
        raise InputError(f"tests fail in {', '.join(failing)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.trust", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; without: all")
    parser.add_argument("--short", action="store_true", help="leave out the tests marked long")
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"trust: error: {error}")
