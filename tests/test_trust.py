"""`tools/trust.py`: its table says what ran, and nothing that did not."""

import ast

import pytest

from tests.helpers import message_of
from tests.project import ROOT
from tools import trust

TESTS = """
import pytest

def test_one():
    pass

def test_many(record_property):
    record_property("cases", 715)

@pytest.mark.long
def test_long():
    pass

@pytest.mark.skip(reason="no | here")
def test_left_out():
    pass

@pytest.fixture
def broken():
    raise OSError

def test_not_begun(broken):
    pass

def test_wrong(record_property):
    record_property("cases", 50)
    assert False
"""


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results go to a folder of the test's own."""
    monkeypatch.setattr(trust, "RESULTS", tmp_path / "trust.json")
    monkeypatch.setattr(trust, "REPORTS", tmp_path)


def ids(path: str) -> set[str]:
    """The functions, classes and methods of a file, as pytest names them."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            methods = (each for each in node.body if isinstance(each, ast.FunctionDef))
            found |= {f"{node.name}::{each.name}" for each in methods}
    return found


def test_every_test_of_the_table_is_there():
    for row in trust.ROWS.values():
        for test in row.tests:
            path, _, name = test.partition("::")
            assert (ROOT / path).is_file(), test
            assert not name or name in ids(path), test


@pytest.mark.parametrize("short", [False, True])
def test_a_row_says_what_passed_failed_was_skipped_or_left_out(tmp_path, results, short):
    (tmp_path / "test_some.py").write_text(TESTS)
    row = trust.Row("A property", "by tests", (str(tmp_path / "test_some.py"),))
    found = trust.run("some", row, short)
    assert trust.last_result("some") == found
    assert found.failed == ["test_not_begun", "test_wrong"]
    line = trust.line("some", row, found)
    assert f"| some | A property | by tests | {716 if short else 717} | **2 failed**: " in line
    assert "1 skipped (no / here)" in line
    assert ("the long tests were not run" in line) == short
    assert "passed" not in line


def test_a_row_that_did_not_run_says_so(results):
    assert trust.last_result("leaks") is None
    assert "|  | not run |  |" in trust.line("leaks", trust.ROWS["leaks"], None)
    assert "|  | no test yet |  |" in trust.line("stranger", trust.Row("It", "how", ()), None)
    result = trust.Result(3, [], {}, False, "1234abcd")
    assert "| 3 | passed | 1234abcd |" in trust.line("leaks", trust.ROWS["leaks"], result)
    skipped = trust.Result(0, [], {"no such system": 2}, False, "1234abcd")
    assert "| 0 | 2 skipped (no such system) |" in trust.line("leaks", trust.ROWS["leaks"], skipped)


def test_tests_that_are_not_there_are_no_result(tmp_path, results):
    row = trust.Row("A property", "by nothing", (str(tmp_path / "test_nothing.py"),))
    assert "pytest ended with 4 in row none" in message_of(trust.run, "none", row, False)
    assert trust.last_result("none") is None


def test_a_row_of_long_tests_alone_keeps_its_result_where_they_are_left_out(tmp_path, results):
    tests = "import pytest\n\n@pytest.mark.long\ndef test_long():\n    pass\n"
    (tmp_path / "test_long.py").write_text(tests)
    row = trust.Row("A property", "by tests", (str(tmp_path / "test_long.py"),))
    assert trust.run("some", row, True) is None
    found = trust.run("some", row, False)
    assert found.cases == 1
    assert trust.run("some", row, True) == trust.last_result("some") == found


def test_an_unknown_row_is_named(results):
    assert "there is no row 'nothing'; there are bytes, " in message_of(
        trust.main, ["nothing"], False
    )


def test_the_page_has_a_line_for_each_row(tmp_path, results, monkeypatch):
    before = trust.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(trust, "PAGE", tmp_path / "trust.md")
    trust.PAGE.write_text(before, encoding="utf-8")
    trust.write_page(dict.fromkeys(trust.ROWS))
    after = trust.PAGE.read_text(encoding="utf-8")

    def rows(page: str) -> list[list[str]]:
        lines = page.partition(trust.BEGIN)[2].partition(trust.END)[0].splitlines()
        return [line.split(" | ")[:3] for line in lines if line][2:]

    assert rows(before) == rows(after), "`python -m tools.trust` was not called after an edit"
    assert [cells[0] for cells in rows(after)] == [f"| {name}" for name in trust.ROWS]
    assert before.partition(trust.BEGIN)[0] == after.partition(trust.BEGIN)[0]
    assert before.partition(trust.END)[2] == after.partition(trust.END)[2]
