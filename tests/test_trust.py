"""docs/trust.md: each property has tests behind it."""

import re

from tests.project import ROOT


def test_each_property_of_the_page_has_marked_tests():
    page = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/test_*.py"))
    markers = re.findall(r"`pytest -m (\w+)`", page)
    assert markers
    assert not [name for name in markers if f"pytest.mark.{name}" not in tests]
