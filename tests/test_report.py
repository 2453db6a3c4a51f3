"""`plots/report.html` and `models/cards/`: their numbers, and that one file is enough."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from stages import compare, misclassified
from stages.base.files import read_json, write_json
from stages.catalog import NETWORKS
from stages.report import __main__ as report
from stages.report import tables
from stages.results import study
from tests.helpers import CHROMIUM, Reader, run_stage
from tests.project import ROOT, set_params

READ = ("metrics", "plots", "params.yaml", "requirements.lock")
WRITTEN = Path("plots/report.html")
NAMES = ["<script>alert(1)</script>", 'a "quoted" & long one', "$1_$2", *"defghij"]


def copy_inputs(source: Path, folder: Path) -> Path:
    for name in READ:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy
        copy(source / name, folder / name)
    (folder / WRITTEN).unlink(missing_ok=True)
    return folder


def made(folder: Path) -> SimpleNamespace:
    """The report and the cards of the run in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        report.main()
    page = (folder / WRITTEN).read_text(encoding="utf-8")
    return SimpleNamespace(folder=folder, page=page, read=Reader(page))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The report of the repository's own run: all images, two recipes."""
    return made(copy_inputs(ROOT, tmp_path_factory.mktemp("own")))


@pytest.fixture(scope="module")
def demo(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The report of the demo: one recipe, a small sample, random backbones, strange names."""
    folder = copy_inputs(finished, tmp_path_factory.mktemp("demo"))
    (folder / "data").symlink_to(finished / "data")
    for path in (folder / "metrics").glob("*/*/*/training.json"):
        write_json(path, read_json(path) | {"classes": NAMES})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compare.main()
        misclassified.main()
    return made(folder)


@pytest.fixture(params=["own", "demo"])
def any_run(request: pytest.FixtureRequest) -> SimpleNamespace:
    return request.getfixturevalue(request.param)


def test_every_tag_is_closed_and_every_link_leads_somewhere(any_run):
    assert any_run.read.open == []
    ids = [value for _, name, value in any_run.read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = [v for t, n, v in any_run.read.attributes if (t, n) == ("a", "href") and v[0] == "#"]
    assert {target[1:] for target in targets} <= set(ids)


def test_the_tables_are_those_that_compare_wrote(any_run):
    cells = set(any_run.read.cells)
    compared = any_run.folder / "plots/compare"
    for row in pd.read_csv(compared / "results.csv").itertuples():
        assert {tables.percent(row.accuracy), tables.loss(row.loss)} <= cells, row
        if not pd.isna(row.difference):
            assert tables.percent(row.study_accuracy) in cells
            assert tables.points(row.difference) in cells
    recalls = pd.read_csv(compared / "per_class.csv")["recall"]
    assert {f"{100 * recall:.1f}" for recall in recalls} <= cells
    counts = pd.read_csv(compared / "confusion.csv")["images"]
    assert {str(count) for count in counts} <= cells


def test_the_studys_own_counts_stand_beside_ours(own):
    cells = set(own.read.cells)
    counts = [*study.CLEANING.values(), *study.LABEL_COUNTS, study.HYPERPARAMETERS["units"]]
    assert {tables.number(count) for count in counts} <= cells
    assert study.FOOTNOTE.split(".")[0] in own.page


def test_the_first_table_has_mean_and_spread_of_the_folds(own):
    ours = read_json(own.folder / "metrics/compare.json")
    mean, spread = (100 * ours[f"lenet_improved_test_accuracy{end}"] for end in ("", "_sd"))
    assert f"{mean:.2f} \N{PLUS-MINUS SIGN} {spread:.2f}" in own.read.cells


def test_nothing_comes_from_outside_the_file(any_run):
    for tag, name, value in any_run.read.attributes:
        if name in ("src", "srcset", "data", "action") or (tag, name) == ("link", "href"):
            assert value.startswith("data:"), (tag, name, value[:80])
    assert re.findall(r"url\((?!data:|#)|@import", any_run.page) == []
    assert (any_run.folder / WRITTEN).stat().st_size < 1_500_000


def test_what_a_user_wrote_is_escaped(demo):
    assert NAMES[0] not in demo.page
    assert "&lt;script&gt;alert(1)" in demo.page
    assert "$1_$2" in demo.page


@pytest.mark.bytes
def test_the_same_inputs_give_the_same_bytes_in_another_folder(demo, tmp_path):
    again = copy_inputs(demo.folder, tmp_path)
    finished = run_stage(again, "report")
    assert finished.returncode == 0, finished.stderr
    assert (again / WRITTEN).read_text(encoding="utf-8") == demo.page
    for card in (demo.folder / report.CARDS).iterdir():
        assert (again / report.CARDS / card.name).read_bytes() == card.read_bytes()
    assert str(demo.folder) not in demo.page
    assert not re.search(r"\b20[12]\d-\d\d-\d\d\b", demo.page)


def test_networks_are_ranked_unless_their_weights_are_random(demo, own):
    assert "points ahead of" in own.page
    assert "points ahead of" not in demo.page


def test_an_ablation_is_shown_where_there_is_one(own, tmp_path):
    folder = copy_inputs(own.folder, tmp_path)
    first = {"network": "vgg", "changes": "epochs: 3", "mean": 0.5, "standard_deviation": 0.01}
    second = {**first, "difference": 0.0123, "low": -0.0345, "high": 0.0567, "significant": "no"}
    pd.DataFrame([first, second]).to_csv(folder / report.ABLATION, index=False)
    assert {"+1.23", "\N{MINUS SIGN}3.45", "+5.67"} <= set(made(folder).read.cells)


def test_another_data_set_has_no_study_beside_it(demo, tmp_path):
    folder = copy_inputs(demo.folder, tmp_path)
    set_params(folder, {"data.source": "csv", "data.classes": ["cat", "NA", "007"]})
    for path in (folder / "metrics").glob("*/*/*/training.json"):
        write_json(path, read_json(path) | {"classes": ["cat", "NA", "007"]})
        arrays = {
            name: array[:, :3] if array.ndim == 2 else array % 3 if "labels" in name else array
            for name, array in np.load(path.with_name("predictions.npz")).items()
        }
        np.savez(path.with_name("predictions.npz"), **arrays)
    (folder / "plots/misclassified/images.csv").write_text("index,actual,some\n5,NA,007\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compare.main()
    page = made(folder).page
    assert "</span>007 1</li>" in page
    assert "91.80" not in page
    assert "course study" not in page


def test_every_model_has_a_short_card(any_run):
    params = yaml.safe_load((any_run.folder / "params.yaml").read_text())
    for name in [f"{n}-{recipe}" for n in NETWORKS for recipe in params[n]]:
        card = (any_run.folder / report.CARDS / f"{name}.md").read_text()
        _, front, text = card.split("---\n", 2)
        assert yaml.safe_load(front)["library_name"] == "keras"
        prose = [line for line in text.splitlines() if not line.startswith("|")]
        assert len(" ".join(prose).split()) <= 150


@pytest.fixture
def browser(any_run):
    """The report in Chromium without a network: a function that opens it."""
    if not CHROMIUM:
        pytest.skip("needs Chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def opened(width: int, scheme: str) -> tuple[Page, list[str]]:
            context = chromium.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
            )
            page, complaints = context.new_page(), []
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto((any_run.folder / WRITTEN).as_uri())
            return page, complaints

        yield opened
        chromium.close()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_a_browser_shows_it_and_axe_finds_nothing(browser, width, scheme):
    page, complaints = browser(width, scheme)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = "[...document.querySelectorAll('.matrix')].filter(m => !m.hidden).length"
    assert page.evaluate(shown) == 1
    page.select_option("#chooser", index=1)
    assert page.evaluate(shown) == 1
    assert Axe().run(page).response["violations"] == []
