"""`plots/report.html`: what stands in it, and that a browser shows it from one file alone."""

import dataclasses
import io
import json
import re
import shutil
import subprocess
import zipfile
from base64 import b64decode
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages import compare, eda, export
from stages import params
from stages.common import report, runs, study
from stages.cli import InputError
from stages.common.files import read_json, write_json, write_yaml
from stages.common.images import ImageSet
from stages.common.evaluation import Results
from tools.demo import set_params
from tests.helpers import CHROMIUM, Reader
from tests.imports import ROOT

LIMIT = 1_500_000
EPOCHS, TEST_IMAGES, MISCLASSIFIED = 30, 300, 25


def made_up(seed: int, labels: np.ndarray) -> Results:
    """A training that overfits from the tenth epoch and is right about most test images."""
    random = np.random.default_rng(seed)
    epoch = np.arange(1, EPOCHS + 1)
    curves = pd.DataFrame(
        {
            "epoch": epoch,
            "accuracy": 1 - 0.5 / epoch,
            "val_accuracy": 0.9 - 0.4 / epoch,
            "loss": 1 / epoch,
            "val_loss": 0.4 + 0.01 * abs(epoch - 10) + 0.01 * random.random(EPOCHS),
        }
    )
    scores = random.random((len(labels), 10)) + 0.7 * np.eye(10)[labels]
    # These all get wrong, and the last of them not all in the same way.
    scores[:MISCLASSIFIED] = np.eye(10)[(labels[:MISCLASSIFIED] + 1) % 10]
    scores[MISCLASSIFIED - 1] = np.eye(10)[(labels[MISCLASSIFIED - 1] + 1 + seed % 3) % 10]
    numbers = [
        *("train_accuracy", "train_loss", "val_accuracy", "val_loss", "test_accuracy", "test_loss"),
        *("best_epoch_val_loss", "best_epoch_test_accuracy", "best_epoch_test_loss"),
    ]
    metrics = {name: round(float(random.random()), 4) for name in numbers} | {"best_epoch": 10}
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float16)
    return Results(metrics, curves, probabilities, labels)


def small_model(path: Path) -> None:
    """What `export` takes for a model: an archive with weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = np.ones((3, 2), np.float32)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(export.WEIGHTS, weights.getvalue())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, params.Params, report.Findings]:
    """A folder in which `compare` has run on made-up results, and what the report was given."""
    root = tmp_path_factory.mktemp("run")
    shutil.copy(ROOT / "params.yaml", root)
    set_params(root, {"data.source": "fashion_mnist"})
    random = np.random.default_rng(0)
    labels = np.arange(TEST_IMAGES, dtype=np.uint8) % 10
    given = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "data/clean").mkdir(parents=True)
        pixels = random.integers(0, 256, (TEST_IMAGES, 28, 28), dtype=np.uint8)
        ImageSet(pixels, labels).save(root / "data/clean", "train")
        eda.main()
        ImageSet(pixels, labels).save(root / "data/clean", "test")
        counts = {f"label_{label}": 5991 for label in range(10)}
        clean = {**published.CLEANING, "test_rows": TEST_IMAGES, "test_repeated_rows": 1}
        write_json("metrics/clean.json", clean | counts | {"train_rows_in_test": 11})
        best = {"units": 248, "learning_rate": 0.001}
        tuned = {"trials": 2, "trial": 1, "val_accuracy": 0.91, "val_loss": 0.25}
        write_json("metrics/tune.json", best | tuned)
        Path("plots/tune").mkdir()
        Path("plots/tune/trials.csv").write_text(
            "trial,bracket,round,units,learning_rate,first_epoch,last_epoch,best_epoch,"
            "val_accuracy,val_loss\n0,2,0,40,0.01,1,2,2,0.8,0.5\n1,2,1,248,0.001,3,4,4,0.91,0.25\n"
        )
        names = [f"lenet/study-{fold}" for fold in range(1, 6)]
        for seed, name in enumerate([*names, "resnet/study", "vgg/study"]):
            made_up(seed, labels).save(name)
        patch.setattr(params, "load", lambda load=params.load: study_only(load()))
        write = report.write
        patch.setattr(
            report, "write", lambda *given_now: (given.append(given_now), write(*given_now))
        )
        for fold in range(1, 6):
            small_model(root / f"models/lenet/folds/study-{fold}.keras")
        export.main()
        shutil.rmtree("data")
        shutil.rmtree("models")
        write_yaml("docs/full_run.yaml", {"machine": "made up", "seconds": {"tune": 1.0}})
        compare.main()
    ((_, settings, findings),) = given
    return root, settings, findings


def study_only(settings: params.Params) -> params.Params:
    """Without recipes that the made-up results do not have."""
    sections = ("lenet", "resnet", "vgg")
    recipes = {name: {"study": getattr(settings, name)["study"]} for name in sections}
    return settings.model_copy(update=recipes)


@pytest.fixture
def folder(run, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(run[0])
    return run[0]


@pytest.fixture
def page(folder: Path) -> str:
    return (folder / "plots/report.html").read_text(encoding="utf-8")


def test_every_tag_is_closed_and_in_order(page):
    assert page.startswith("<!doctype html>")
    assert Reader(page).open == []


def test_every_section_is_there_and_the_contents_lead_to_it(page):
    attributes = Reader(page).attributes
    for section in report.SECTIONS:
        assert ("h2", "id", section) in attributes
        assert ("a", "href", f"#{section}") in attributes


def test_every_number_of_the_study_is_in_a_cell(page):
    cells = set(Reader(page).cells)
    scores = [score for model in published.STUDY.values() for score in model.values()]
    expected = {f"{score.loss:.5g}" for score in scores}
    expected |= {f"{100 * score.accuracy:.5g}{report.PERCENT}" for score in scores}
    expected |= {f"{count:,}" for count in published.CLEANING.values()}
    expected |= {f"{value:g}" for value in published.HYPERPARAMETERS.values()}
    expected |= {str(epoch or "not seen to overfit") for epoch in published.OVERFITS_FROM.values()}
    assert expected - cells == set()
    assert published.CAVEAT.replace("'", "&#39;") in page


def test_our_numbers_are_those_of_the_results(page, folder):
    cells = set(Reader(page).cells)
    for row in pd.read_csv("plots/compare/results.csv").itertuples():
        assert report.percent(row.accuracy) in cells
    for row in pd.read_csv("plots/compare/per_class.csv").itertuples():
        assert report.percent(row.f1) in cells


def test_nothing_comes_from_outside_the_file(page):
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"url\(|@import", page)
    for tag, name, value in Reader(page).attributes:
        if name in ("src", "srcset", "href", "data", "action"):
            assert value.startswith("#" if tag == "a" else "data:"), (tag, name, value[:80])


def test_every_picture_has_a_description(page):
    attributes = Reader(page).attributes
    pictures = [value for tag, name, value in attributes if (tag, name) == ("img", "src")]
    described = [value for tag, name, value in attributes if (tag, name) == ("img", "alt")]
    misclassified = len(pd.read_csv("plots/misclassified/images.csv"))
    # The result, eda's seven, the tuner's, seven trainings, and what every model gets wrong.
    assert len(pictures) == 1 + 7 + 1 + 7 + misclassified
    assert len(described) == len(pictures)
    assert all(described)


def test_it_is_small_enough_for_git(folder):
    assert (folder / "plots/report.html").stat().st_size < LIMIT


def test_the_same_inputs_give_the_same_bytes_wherever_they_lie(page, run, tmp_path, monkeypatch):
    root, settings, findings = run
    shutil.copytree(root, tmp_path / "a folder of another name")
    monkeypatch.chdir(tmp_path / "a folder of another name")
    assert report.render(settings, findings) == page


def test_no_path_and_no_date_of_this_machine_is_in_it(page, folder):
    text = re.sub(r"data:image[^\"]*", "", page)
    assert str(folder) not in text
    assert str(ROOT) not in text
    # The caveat's 2017 is the study's.
    assert set(re.findall(r"\b20\d\d\b", text)) <= {"2017"}


def test_text_is_escaped(run, folder):
    _, settings, findings = run
    evil = '<script>alert(1)</script> & "'
    titles = dict.fromkeys(findings.titles, evil)
    page = report.render(
        settings, dataclasses.replace(findings, notes=[evil], titles=titles, curves={})
    )
    assert evil not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;" in page
    assert Reader(page).open == []


def test_images_that_all_get_wrong_are_named_by_index(page, folder):
    table = pd.read_csv("plots/misclassified/images.csv")
    assert list(table["index"]) == list(range(MISCLASSIFIED))
    shown = report.misclassified_table(table, dict.fromkeys(table.columns[2:], "A"))
    assert shown.columns == ["Index", "Actual", "A", "A", "A", "A"]
    assert shown.rows[0] == ["0", "T-shirt/top", *["Trouser"] * 4]
    assert "<td class=n>0</td><td>T-shirt/top</td><td>Trouser</td>" in page
    assert 'alt="Test image 0: T-shirt/top; all say Trouser"' in page
    assert report.misclassified_in_words(table).startswith("25 test images, most often of the")
    assert report.misclassified_in_words(table[:0]).startswith("There is none")


def test_their_pictures_are_those_of_the_test_set(folder):
    shown = report.misclassified_pictures(pd.read_csv("plots/misclassified/images.csv"))
    pixels = np.random.default_rng(0).integers(0, 256, (TEST_IMAGES, 28, 28), dtype=np.uint8)
    assert len(shown) == MISCLASSIFIED
    for (_, picture), expected in zip(shown, pixels[:MISCLASSIFIED], strict=True):
        content = b64decode(picture.uri.partition(",")[2])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), expected)


def test_a_picture_says_how_far_the_models_agree(folder):
    guesses = [["Bag"] * 4, ["Bag", "Bag", "Bag", "Coat"], ["Bag", "Bag", "Coat", "Shirt"]]
    rows = [[number, "Dress", *row] for number, row in enumerate(guesses)]
    captions = [caption for caption, _ in report.misclassified_pictures(pd.DataFrame(rows))]
    assert captions == [
        "0: Dress; all say Bag",
        "1: Dress; mostly Bag",
        "2: Dress; taken for Bag or Coat or Shirt",
    ]


def test_the_times_are_those_of_the_run_in_the_repository(page):
    assert "on all 70,000 images: made up." in page
    assert "<td>tune</td>" in page


def test_every_model_has_a_card_with_its_numbers(folder):
    results = pd.read_csv("plots/compare/results.csv")
    by_class = pd.read_csv("plots/compare/per_class.csv")
    for name, model in classifiers.TITLES.items():
        card = (folder / f"models/cards/{name}-study.md").read_text(encoding="utf-8")
        for row in results[results["model"] == model].itertuples():
            assert f"| {row.measure} | {report.percent(row.accuracy)} |" in card
        classes = by_class[by_class["classifier"] == f"{name}-study"]
        for _, clothing, *scores in classes.itertuples(index=False):
            assert f"| {clothing} | {' | '.join(map(report.percent, scores))} |" in card
        weakest = classes.loc[classes["recall"].idxmin(), "class"]
        assert f"weakest at {weakest}," in card
        assert published.CAVEAT in card
        assert "&#" not in card


def test_a_confusion_matrix_has_actual_classes_in_rows():
    matrix = report.confusion("A", np.array([0, 1, 1, 1]), np.array([0, 0, 0, 1]), ("cat", "dog"))
    assert matrix.counts == [[1, 2], [0, 1]]
    assert matrix.shares == [[0.33, 0.67], [0, 1]]
    assert matrix.most_frequent == "Most frequent confusion: cat taken for dog, 2 images."


def test_the_headline_begins_with_the_best_model(run):
    _, _, findings = run
    results = findings.results.copy()
    results.loc[results["measure"] == "test", "accuracy"] = [0.5, 0.995]
    sentence = report.headline(results, findings.labels)
    assert sentence.startswith(
        "VGG16, frozen is best on the 300 test images, with 99.50\u202f% right"
    )
    assert "; ResNet50, frozen: 50.00\u202f% (the study: 81.98\u202f%)" in sentence


def test_mcnemars_bound_is_stricter_the_more_pairs_there_are():
    tests = pd.DataFrame(
        {
            "first": ["a", "a"],
            "second": ["b", "c"],
            "only_first_right": [3, 30],
            "only_second_right": [12, 5],
            "p_value": [0.03, 0.001],
        }
    )
    titles = {"a": "A", "b": "B", "c": "C"}
    verdicts = [row[-1] for row in report.mcnemar_table(tests, titles).rows]
    assert verdicts == ["not told apart", "A"]
    assert report.mcnemar_table(tests[:1], titles).rows[0][-1] == "B"


@pytest.mark.parametrize("units", [32, 248])
def test_lenets_parameters_are_as_many_as_keras_counts(units):
    from stages.common import lenet

    assert report.lenet_parameters(units) == lenet.build(units, 0.001).count_params()


def test_a_run_without_a_search_has_a_page_too(run, tmp_path, monkeypatch):
    root, settings, findings = run
    shutil.copytree(root, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    header = Path("plots/tune/trials.csv").read_text().splitlines()[0]
    Path("plots/tune/trials.csv").write_text(f"{header}\n")
    best = read_json("metrics/tune.json")
    write_json(
        "metrics/tune.json", {"trials": 0, **{key: best[key] for key in ("units", "learning_rate")}}
    )
    assert "nothing was searched for" in report.render(settings, findings)


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("metrics/clean.json", "clean"),
        ("plots/eda", "eda"),
        ("plots/tune/trials.csv", "tune"),
        ("plots/misclassified/images.csv", "export"),
    ],
)
def test_a_missing_file_is_named_with_its_stage(run, tmp_path, monkeypatch, path, stage):
    root, settings, findings = run
    shutil.copytree(root, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    Path(path).rename("elsewhere")
    with pytest.raises(InputError, match=rf"{path} is missing; .* in the stage {stage}$"):
        report.render(settings, findings)


# Looks at the pictures and clicks on a heading of the largest table, twice; writes what it found.
PROBE = """
<script>
addEventListener("load", () => {
  const table = document.querySelector("#classes ~ .scroll table");
  const heading = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === "Recall");
  const column = () => [...table.tBodies[0].rows].map(
    (row) => parseFloat(row.cells[heading.cellIndex].textContent));
  const sorted = [];
  for (let click = 0; click < 2; click++) {
    heading.querySelector("button").click();
    sorted.push({ order: heading.getAttribute("aria-sort"), values: column() });
  }
  const probe = document.createElement("pre");
  probe.id = "probe";
  probe.textContent = JSON.stringify({
    widths: [...document.images].map((image) => image.naturalWidth),
    requests: performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 60)),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    sorted,
  });
  document.body.append(probe);
});
</script>
"""


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium to open the page with")
def test_a_browser_shows_every_picture_and_sorts_without_a_complaint(page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--disable-sync", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--virtual-time-budget=5000", "--window-size=500,800", "--dump-dom", path.as_uri()),
    ]
    browser = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in browser.stderr
    found = json.loads(re.search(r'<pre id="probe">(.*)</pre>', browser.stdout)[1])
    assert len(found["widths"]) == page.count("<img")
    assert min(found["widths"]) > 0
    assert [name for name in found["requests"] if not name.startswith("data:")] == []
    assert found["overflow"] <= 0
    up, down = found["sorted"]
    assert (up["order"], up["values"]) == ("ascending", sorted(up["values"]))
    assert (down["order"], down["values"]) == ("descending", sorted(up["values"], reverse=True))
