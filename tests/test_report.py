"""`plots/report.html` and `models/cards/`: what stands in them, and that one file is enough."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from stages import compare, misclassified, params
from stages.cli import InputError
from stages.report import __main__ as report
from stages.report import charts, errors, formats, inputs, story
from stages.report.formats import percent
from stages.results import runs, study
from tests.helpers import CHROMIUM, Reader, run_stage
from tests.project import ROOT, set_params

LIMIT = 1_500_000
READ = ("metrics", "plots", "params.yaml", "requirements.lock", "data/clean")
IMPROVED = {
    "data.source": "fashion_mnist",
    "backbone.resnet50.weights": "imagenet",
    "backbone.vgg16.weights": "imagenet",
    "features.better": {
        "backbone": "vgg16",
        "input_size": 64,
        "preprocessing": "imagenet",
        "pooling": "avg",
    },
    "lenet.improved": {
        "units": 104,
        "learning_rate": 0.001,
        "epochs": 12,
        "batch_size": 16,
        "flip": True,
    },
    "vgg.improved": {
        "features": "better",
        "dense_units": 128,
        "dense_layers": 1,
        "learning_rate": 0.001,
        "epochs": 2,
        "batch_size": 64,
        "validation_split": 0.2,
        "standardise": True,
    },
}


def copy_inputs(finished: Path, folder: Path) -> Path:
    """What `compare`, `misclassified` and `report` read, of the study's recipes alone.

    And nothing that the report wrote.
    """
    for name in READ:
        copy = shutil.copytree if (finished / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(finished / name, folder / name)
    (folder / inputs.FULL_RUN).parent.mkdir(parents=True)
    shutil.copy(ROOT / inputs.FULL_RUN, folder / inputs.FULL_RUN)
    (folder / report.PAGE).unlink(missing_ok=True)
    settings = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    networks = {name: {"study": settings[name]["study"]} for name in runs.TITLES}
    set_params(folder, {**networks, "export.recipe": "study"})
    for path in (folder / "metrics").glob("*/*"):
        if not path.name.startswith("study"):
            shutil.rmtree(path)
    return folder


def made(folder: Path) -> SimpleNamespace:
    """Run the three stages in `folder`; the page, what it was filled with, and its parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (compare, misclassified, report):
            stage.main()
        page = report.PAGE.read_text(encoding="utf-8")
        settings = params.load()
        models = runs.load_all(settings, study.random_networks(settings))
        facts = report.facts(settings, models)
    return SimpleNamespace(
        folder=folder, page=page, facts=facts, models=models, settings=settings, read=Reader(page)
    )


@pytest.fixture(scope="module")
def one(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The report of the demo: one recipe, a small sample, random backbones."""
    return made(copy_inputs(finished, tmp_path_factory.mktemp("one")))


@pytest.fixture(scope="module")
def two(one: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Of a run with two recipes, as if on all images, in which an improved VGG16 is best of all."""
    folder = copy_inputs(one.folder, tmp_path_factory.mktemp("two"))
    set_params(folder, IMPROVED)
    metrics = folder / "metrics"
    for fold in (1, 2):
        shutil.copytree(metrics / f"lenet/study-{fold}", metrics / f"lenet/improved-{fold}")
        recorded = json.loads((metrics / f"lenet/improved-{fold}/training.json").read_text())
        (metrics / f"lenet/improved-{fold}/training.json").write_text(
            json.dumps(recorded | IMPROVED["lenet.improved"])
        )
    shutil.copytree(metrics / "vgg/study", metrics / "vgg/improved")
    training = metrics / "vgg/improved/training.json"
    recorded = json.loads(training.read_text()) | IMPROVED["vgg.improved"]
    training.write_text(json.dumps(recorded))
    arrays = dict(np.load(metrics / "vgg/improved/predictions.npz"))
    labels = arrays["test_labels"]
    wrong = pd.read_csv(folder / "plots/misclassified/images.csv")["index"].head(20)
    guesses = np.where(np.isin(np.arange(len(labels)), wrong), (labels + 1) % 10, labels)
    arrays["test_probabilities"] = (0.9 * np.eye(10)[guesses] + 0.01).astype(np.float16)
    np.savez(metrics / "vgg/improved/predictions.npz", **arrays)
    return made(folder)


@pytest.fixture(params=["one", "two"])
def any_run(request: pytest.FixtureRequest, finished: Path) -> SimpleNamespace:
    return request.getfixturevalue(request.param)


def test_every_tag_is_closed_and_every_id_is_there_once(any_run):
    assert any_run.page.startswith("<!doctype html>")
    assert any_run.read.open == []
    ids = [value for _, name, value in any_run.read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = [v for t, n, v in any_run.read.attributes if (t, n) == ("a", "href") and v[0] == "#"]
    assert {target[1:] for target in targets} <= set(ids)
    assert {f"#{section}" for section in any_run.facts["sections"]} <= set(targets)


def test_every_number_of_the_results_stands_in_a_cell(any_run):
    cells = set(any_run.read.cells)
    for row in pd.read_csv(any_run.folder / "plots/compare/results.csv").itertuples():
        expected = {percent(row.accuracy), formats.loss(row.loss)}
        expected |= {percent(row.study_accuracy), formats.loss(row.study_loss)}
        expected |= {formats.interval(row.low, row.high), percent(row.best_epoch_accuracy)}
        assert expected - {""} <= cells, row


def test_so_do_the_studys_own_counts(one):
    cells = set(one.read.cells)
    assert {f"{count:,}" for count in study.CLEANING.values()} <= cells
    assert {f"{value:g}" for value in study.HYPERPARAMETERS.values()} <= cells
    # Of its own five folds, where `results.csv` has nothing.
    assert "0.30\u202f%" in cells


def test_the_other_tables_are_those_that_compare_wrote(any_run):
    cells = set(any_run.read.cells)
    compared = any_run.folder / "plots/compare"
    for row in pd.read_csv(compared / "per_class.csv").itertuples():
        assert {f"{100 * value:.2f}" for value in (row.precision, row.recall, row.f1)} <= cells
    for row in pd.read_csv(compared / "mcnemar.csv").itertuples():
        assert formats.p_value(row.p_value) in cells
    for row in pd.read_csv(compared / "classifiers.csv").itertuples():
        assert percent(row.calibration_error) in cells
    for row in pd.read_csv(compared / "reliability.csv").itertuples():
        assert percent(row.accuracy) in cells
    counts = pd.read_csv(compared / "confusion.csv")
    shown = sum(count for matrix in any_run.facts["confusions"] for count in counts_of(matrix))
    assert shown == counts["images"].sum()


def counts_of(matrix: errors.Confusion) -> list[int]:
    return [count for row in matrix.rows for count, _ in row]


def test_nothing_comes_from_outside_the_file(any_run):
    for tag, name, value in any_run.read.attributes:
        if name in ("src", "srcset", "data", "action") or (tag, name) == ("link", "href"):
            assert value.startswith("data:"), (tag, name, value[:80])
    assert re.findall(r"url\((?!data:)|@import", any_run.page) == []
    links = {v for t, n, v in any_run.read.attributes if (t, n) == ("a", "href") and v[0] != "#"}
    assert set(re.findall(r"https?:[^\"'<\s]+", any_run.page)) == links


def test_no_path_and_no_date_of_this_machine_is_in_it(one):
    text = re.sub(r"data:image[^\")]*", "", one.page)
    assert str(one.folder) not in text
    assert str(ROOT) not in text
    assert not re.search(r"\b20[12]\d-\d\d-\d\d\b", text)


def test_the_same_inputs_give_the_same_bytes_wherever_they_lie(one, tmp_path):
    again = copy_inputs(one.folder, tmp_path / "a folder of another name")
    shutil.rmtree(again / "data")
    finished = run_stage(again, "report")
    assert finished.returncode == 0, finished.stderr
    assert (again / report.PAGE).read_text(encoding="utf-8") == one.page
    for card in (one.folder / report.CARDS).iterdir():
        assert (again / report.CARDS / card.name).read_bytes() == card.read_bytes()


def test_it_is_small_enough_for_git(any_run):
    assert (any_run.folder / report.PAGE).stat().st_size < LIMIT


def test_a_page_of_a_full_run_is_small_enough_too(one):
    """With 400 images that all get wrong, ten of what a demo has three of, and as many epochs."""
    whole = len(one.page)
    sheet, guesses = len(one.facts["sheet"]), len(one.facts["guesses"])
    images = len(one.facts["tiles"])
    pictures = sum(len(picture.uri) for picture in one.facts["eda"])
    rest = whole - sheet - pictures - guesses
    assert pictures < 700_000
    assert pictures + 400 / images * (sheet + 2 * guesses) + 4 * rest < LIMIT


def test_what_a_user_wrote_is_escaped(one):
    evil = '<script>alert(1)</script> & "'
    chart = charts.reliability(
        pd.DataFrame({"confidence": [0.5], "accuracy": [1.0], "images": [1]}), evil
    )
    changed = {"lead": evil, "notes": [evil], "diagrams": [(evil, chart)]}
    page = report.environment().get_template("page.html.j2").render(one.facts | changed)
    assert evil not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;") == 4
    assert Reader(page).open == []


def test_the_caveat_stands_once(two):
    assert two.page.count("its makers replaced it on 31 August 2017") == 1


def test_the_study_is_the_paper_and_never_our_recipe(one, two):
    assert "(study)" not in one.page
    assert "(study)" not in two.page
    assert "LeNet-5 (study's settings)" in two.facts["titles"]["lenet-study"]


def test_a_run_with_random_weights_says_nothing_of_the_verdict(one):
    (words,) = one.facts["verdict"]
    assert "cannot say" in words
    why = dict(one.facts["why"])
    assert why["VGG16, random weights"].endswith("Nothing follows from it.")
    assert "2,000 training images here where the study has 59,914" in why["LeNet-5"]


def test_the_first_lines_say_what_changed_the_verdict(two):
    at_its_settings, improved = two.facts["verdict"]
    assert at_its_settings.startswith("At the study's settings its verdict stands: LeNet-5 (")
    assert "VGG16 96.00\u202f%" in improved
    assert "Frozen VGG16 is then ahead of a single LeNet-5, by the mean of the folds." in improved
    assert "LeNet-5's folds together have" in improved
    assert "and are behind VGG16 (McNemar's test, below)." in improved
    assert "images prepared as the weights expect them, features from other layers" in improved
    assert "larger images (64x64)" in improved
    assert two.facts["lead"].startswith("Best on the 500 test images: VGG16, frozen (improved)")


def test_what_rests_on_random_weights_is_marked_and_is_not_the_best(one):
    lead, titles = one.facts["lead"], one.facts["titles"]
    assert lead.startswith("Best on the 500 test images: LeNet-5")
    assert "What rests on random weights is left out here." in lead
    assert titles["resnet-study"] == "ResNet50, random weights"
    assert titles["all-study"] == "All three networks, random weights"
    assert "frozen" not in "".join(titles.values())


def test_even_if_it_has_the_most_right():
    measures = {"network": ["lenet", "vgg"], "recipe": "a", "measure": [story.MEAN, "test"]}
    results = pd.DataFrame(
        {**measures, "model": ["LeNet-5", "VGG16"], "accuracy": [0.7, 0.9], "study_accuracy": None}
    )
    classifiers = pd.DataFrame(
        {
            "classifier": ["lenet-a", "vgg-a", "all-a"],
            "title": ["LeNet-5, fold 1", "VGG16", "All"],
            "accuracy": [0.71, 0.9, 0.95],
            "low": 0.5,
            "high": 0.96,
        }
    )
    words = story.lead(classifiers, results, 100, ["vgg-a", "all-a"])
    assert words.startswith("Best on the 100 test images: LeNet-5, fold 1, with 71.00")
    assert "VGG16" not in words
    assert "All, with 95.00" in story.lead(classifiers, results, 100, [])


def test_the_page_says_what_the_curves_are_without(one, two):
    assert one.facts["finished"] == []
    averaged = two.models[1].runs[0].training | {"average_mirrored": True, "ema_momentum": 0.9}
    model = replace(two.models[1], runs=[replace(two.models[1].runs[0], training=averaged)])
    assert story.finished([model], two.settings) == [
        "The finished LeNet-5 (improved) has in addition the moving average of the weights and the "
        "mean of the answers for an image and its mirror image."
    ]
    averaged |= {"average_shifted": 1, "ema_momentum": None}
    model = replace(two.models[1], runs=[replace(two.models[1].runs[0], training=averaged)])
    assert story.finished([model], two.settings) == [
        "The finished LeNet-5 (improved) has in addition the mean of the answers for an image "
        "where it is and moved aside, each with its mirror image."
    ]


def test_the_reasons_follow_from_the_settings(two):
    why = dict(two.facts["why"])
    studys = why["VGG16, frozen (study's settings)"]
    ours = why["VGG16, frozen (improved)"]
    assert "As in the study, the images are scaled to 0-1." in studys
    assert "32x32 pixels, in the study at 48x48" in studys
    assert "The images are prepared as the weights were trained" in ours
    assert "adds standardised features" in ours
    assert "every second training image mirrored" in why["LeNet-5 (improved)"]
    changed = two.facts["changed"]
    assert ["preprocessing", "unit", "imagenet"] in changed.rows
    assert ["flip", "", "yes"] in changed.rows


def test_welchs_test_in_words(one):
    (words,) = one.facts["welch"]
    row = pd.read_csv(one.folder / "plots/compare/against_study.csv").iloc[0]
    assert percent(row["mean"]) in words
    assert formats.points(row["low"]) in words
    assert f"p = {row['p_value']:.4f}" in words


def test_on_another_data_set_the_study_is_not_there(one, tmp_path):
    folder = copy_inputs(one.folder, tmp_path / "own")
    names = [*map(str, range(8)), "kind <8>", "NA"]
    set_params(folder, {"data.source": "csv", "data.classes": names})
    own = made(folder)
    # Recipes are called so, in the params and in the names of stages.
    text = re.sub(r"<(script|style|pre).*?</\1>", "", own.page, flags=re.DOTALL)
    assert "study" not in re.sub(r"<[^>]+>|\w+@\S+", " ", text).lower()
    assert "kind &lt;8&gt;" in own.page
    assert "NA" in own.facts["names"]
    assert Reader(own.page).open == []


def test_a_run_without_a_search_has_no_trials(one, tmp_path):
    folder = copy_inputs(one.folder, tmp_path / "fixed")
    (folder / inputs.TUNING).write_text('{"trials": 0}')
    (folder / inputs.HYPERPARAMETERS).write_text("{}\n")
    (folder / inputs.TRIALS).write_text(",".join(pd.read_csv(folder / inputs.TRIALS)) + "\n")
    assert "nothing was searched for" in made(folder).page


@pytest.mark.long
def test_an_ablation_is_shown_where_there_is_one(one, tmp_path):
    folder = copy_inputs(one.folder, tmp_path / "ablation")
    set_params(folder, {"data.source": "fashion_mnist"})
    (folder / inputs.ABLATION).write_text(
        "network,change,val_accuracy,command\nVGG16,larger images,0.9123,dvc exp run -S a=1\n"
    )
    page = made(folder).page
    assert '<h2 id="ablation">' in page
    assert "<td class=n>91.23" in page.replace('class="n"', "class=n")
    assert page.count("dvc exp run -S a=1") == 1, "folded, for a phone has no room for columns"
    set_params(folder, {"data.source": "sample"})
    assert 'id="ablation"' not in made(folder).page, "its numbers are of all images"


def test_what_the_seed_alone_does_is_told_where_it_was_tried(one, tmp_path):
    folder = copy_inputs(one.folder, tmp_path / "seeds")
    set_params(folder, {"data.source": "fashion_mnist"})
    (folder / inputs.SEEDS).write_text(
        "network,change,test_accuracy\nLeNet-5,seed 0,0.91\nLeNet-5,seed 1,0.92\n"
    )
    page = made(folder).page
    assert "under 2 seeds on the same images: 91.00 to 92.00\u202f%" in page
    assert "a standard deviation of 0.71 points" in page
    assert "What the seed alone does" not in one.page


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        (inputs.CLEANING, "clean"),
        (inputs.TRIALS, "tune"),
        (inputs.FIGURES, "eda"),
        (inputs.COMPARISON / "mcnemar.csv", "compare"),
        (inputs.MISCLASSIFIED / "images.png", "misclassified"),
    ],
)
def test_a_missing_file_is_named_with_its_stage(one, tmp_path, monkeypatch, path, stage):
    monkeypatch.chdir(copy_inputs(one.folder, tmp_path / "lacking"))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=rf"{path} is missing; .* in the stage {stage}$"):
        report.main()
    assert not report.PAGE.exists()


def test_errors_are_shaded_and_what_is_right_is_not():
    counts = {("a", "a"): 90, ("a", "b"): 4, ("b", "a"): 1, ("b", "b"): 95}
    rows = [
        {"classifier": "c", "actual": a, "predicted": p, "images": n}
        for (a, p), n in counts.items()
    ]
    (matrix,) = errors.confusions(pd.DataFrame(rows), {"c": "C"}, ("a", "b"))
    assert matrix.rows == [[(90, None), (4, 1.0)], [(1, 0.5), (95, None)]]
    assert matrix.most_frequent == "Most frequent: a taken for b, 4 images."


def test_the_images_that_all_get_wrong(one):
    table = pd.read_csv(one.folder / "plots/misclassified/images.csv")
    tiles = one.facts["tiles"]
    assert [tile.index for tile in tiles] == list(table["index"])
    assert one.page.count('<span class="tile"') == len(table)
    content = json.loads(one.facts["guesses"])
    names = list(one.facts["names"])
    for row, label, cells in zip(
        table.to_dict("records"), content["actual"], content["guesses"], strict=True
    ):
        assert names[label] == row["actual"]
        assert [names[guess] for guess in cells[::2]] == [row[c] for c in content["classifiers"]]
        assert all(0 < sure < 100 for sure in cells[1::2])


def test_a_run_in_which_every_image_is_right_by_some_classifier(one):
    wrong = pd.read_csv(one.folder / "plots/misclassified/images.csv")[:0]
    assert errors.in_words(wrong).startswith("There is none")
    nothing = {"tiles": errors.tiles(wrong, one.folder / "plots/misclassified/images.png")}
    page = report.environment().get_template("page.html.j2").render(one.facts | nothing)
    assert Reader(page).open == []
    assert 'id="filter"' not in page


@pytest.mark.parametrize(
    ("guesses", "caption"),
    [(["Bag"] * 4, "Bag (all)"), (["Bag", "Bag", "Bag", "Coat"], "Bag (3 of 4)")],
)
def test_a_picture_says_how_far_the_classifiers_agree(one, guesses, caption):
    frame = pd.DataFrame([[7, "Dress", *guesses]])
    (tile,) = errors.tiles(frame, one.folder / inputs.MISCLASSIFIED / "images.png")
    assert tile.caption == caption


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5000"), (0.00012, "0.0001"), (0.00009, "< 0.0001"), (0, "< 0.0001")],
)
def test_probabilities_have_one_format(value, text):
    assert formats.p_value(value) == text


def test_shares_and_differences_have_two_digits():
    assert percent(0.91798) == "91.80\u202f%"
    assert percent(float("nan")) == ""
    assert formats.points(-0.00899) == "\N{MINUS SIGN}0.90"
    assert formats.points(0.0182) == "+1.82"
    assert formats.difference(0.93434, 0.91798) == "+1.63", "93.43 less 91.80"
    assert formats.difference(0.5, 0.50004) == "+0.00"
    assert formats.difference(0.5, float("nan")) == ""
    assert formats.interval(0.9257, 0.93558) == "92.57 to 93.56\u202f%"
    assert formats.loss(0.51376) == "0.5138"


def test_ticks_are_round_numbers_within_the_limits():
    assert charts.ticks(0.68, 0.97) == [0.7, 0.8, 0.9]
    assert charts.ticks(0, 500) == [0, 100, 200, 300, 400, 500]
    low, high = charts.rounded(0.683, 0.991)
    assert (low, high) == (pytest.approx(0.6), pytest.approx(1.0))


def card(run: SimpleNamespace, name: str) -> tuple[dict, str]:
    """Front matter and text."""
    text = (run.folder / report.CARDS / f"{name}.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_every_model_has_a_card_that_hugging_face_can_read(any_run):
    results = pd.read_csv(any_run.folder / "plots/compare/results.csv")
    names = [model.name for model in any_run.models]
    assert {path.stem for path in (any_run.folder / report.CARDS).iterdir()} == set(names)
    for model in any_run.models:
        front, body = card(any_run, model.name)
        assert front["library_name"] == "keras"
        assert front["pipeline_tag"] == "image-classification"
        assert front["datasets"] == ["fashion_mnist"]
        (entry,) = front["model-index"]
        values = [metric["value"] for metric in entry["results"][0]["metrics"]]
        of_model = results[
            (results["network"] == model.network) & (results["recipe"] == model.recipe)
        ]
        tested = of_model["measure"].isin([story.MEAN, "folds together, test", "test"])
        assert values == list(of_model.loc[tested, "accuracy"])
        assert all(percent(accuracy) in body for accuracy in of_model["accuracy"])
        assert body.index("## What it is for") < body.index("## How to use it")


def test_a_card_names_the_files_where_they_lie(two):
    assert (
        "FILES = ['models/exported/1.keras', 'models/exported/2.keras']"
        in card(two, "lenet-study")[1]
    )
    assert "models/lenet/improved-2/model.keras" in card(two, "lenet-improved")[1]
    assert "FILES = ['models/vgg/improved/model.keras']" in card(two, "vgg-improved")[1]
    assert card(two, "vgg-study")[0]["license"] == "cc-by-4.0"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["lenet-study", pytest.param("resnet-study", marks=pytest.mark.long)]
)
def test_a_cards_snippet_runs_as_it_stands(one, finished, name):
    (code,) = re.findall(r"```python\n(.*?)```", card(one, name)[1], re.DOTALL)
    ran = subprocess.run(
        [shutil.which("python"), "-c", code],
        cwd=finished,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answers = re.findall(r"^(.+) (\d+\.\d)%$", ran.stdout, re.MULTILINE)
    assert len(answers) == 5
    assert {answer for answer, _ in answers} <= set(one.facts["names"])


# Does what a reader does, and writes down what came of it.
PROBE = """
<script>
addEventListener("load", async () => {
  const choose = (element, value) => {
    element.value = value;
    element.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const visible = (selector) =>
    [...document.querySelectorAll(selector)].filter((one) => !one.hidden).length;
  const found = {};
  const sheet = new Image();
  await new Promise((done) => {
    sheet.onload = sheet.onerror = done;
    sheet.src = getComputedStyle(document.querySelector(".tile")).backgroundImage.slice(5, -2);
  });
  found.widths = [sheet, ...document.images].map((image) => image.naturalWidth);
  found.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  found.matrices = visible(".matrix");
  const form = document.getElementById("filter");
  found.errors = visible(".sheet > li");
  choose(form.elements.actual, "6");
  found.shirts = visible(".sheet > li");
  const cell = document.querySelector(".matrix:not([hidden]) td button");
  cell.click();
  found.behind = Number(cell.getAttribute("aria-label").match(/open (\\d+)/)[1]);
  found.opened = visible(".sheet > li");
  const tile = document.querySelector(".sheet > li:not([hidden]) details");
  tile.open = true;
  await new Promise((done) => setTimeout(done, 100));
  found.answers = tile.querySelectorAll("li").length;
  const slider = document.querySelector(".curves input");
  slider.value = 2;
  slider.dispatchEvent(new Event("input"));
  found.read = document.querySelector(".curves output").textContent;
  found.row = [...document.querySelectorAll(".curves tbody tr")[1].cells].map((c) => c.textContent);
  const table = document.querySelector("table.sortable");
  const heading = [...table.tHead.rows[0].cells].find((one) => one.textContent === "p");
  const sorted = () => [...table.tBodies[0].rows].map((row) => row.cells[4].textContent);
  heading.querySelector("button").click();
  found.sorted = sorted();
  found.requests = performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 60));
  const probe = document.createElement("pre");
  probe.id = "probe";
  probe.textContent = JSON.stringify(found);
  document.body.append(probe);
});
</script>
"""


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium to open the page with")
def test_a_browser_shows_it_all_without_a_complaint(any_run, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(any_run.page.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--disable-sync", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--virtual-time-budget=20000", "--window-size=500,800", "--dump-dom", path.as_uri()),
    ]
    browser = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in browser.stderr
    found = json.loads(re.search(r'<pre id="probe">(.*)</pre>', browser.stdout)[1])
    assert len(found["widths"]) == 1 + len(any_run.facts["eda"])
    assert min(found["widths"]) > 0
    assert [name for name in found["requests"] if not name.startswith("data:")] == []
    assert found["overflow"] <= 0
    assert found["matrices"] == 1
    wrong = pd.read_csv(any_run.folder / "plots/misclassified/images.csv")
    assert (found["errors"], found["shirts"]) == (len(wrong), (wrong["actual"] == "Shirt").sum())
    assert found["opened"] == found["behind"] > 0
    assert found["answers"] == len(any_run.facts["titles"])
    assert found["read"].startswith("2: training accuracy ")
    assert all(cell in found["read"] for cell in found["row"])
    numbers = [float(text.removeprefix("< ")) for text in found["sorted"]]
    assert numbers == sorted(numbers)


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium to open the page with")
def test_axe_finds_nothing_that_bars_anybody(one):
    """By axe-core's rules, which are those of WCAG: on a phone, and on a large dark screen."""
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width, scheme in ((400, "light"), (1400, "dark")):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.goto((one.folder / report.PAGE).as_uri())
            found = Axe().run(page).response["violations"]
            assert [(each["id"], each["help"]) for each in found] == []
            page.close()
        browser.close()
