"""The page of `dvc plots show` and `dvc plots diff`: it opens offline and shows every plot."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from dvc_render.base import Renderer
from dvc_render.vega_templates import TEMPLATES
from PIL import Image

from tests import project
from tests.helpers import CHROMIUM, Reader
from tests.project import ROOT

LIMIT = 1_500_000
TEMPLATE = ROOT / ".dvc/plots/page.html"
OURS = sorted(TEMPLATE.parent.glob("*.json"))
FILE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
OF_STAGES = [plot for stage in FILE["stages"].values() for plot in stage.get("plots", [])]
PLOTS = [*FILE["plots"], *OF_STAGES]
PICTURES = [plot for plot in PLOTS if isinstance(plot, str)]
GRAPHS = [Renderer.remove_special_chars(next(iter(plot))) for plot in PLOTS if plot not in PICTURES]
CLASSES = ("Bag", "Coat", "T-shirt/top")


def tables(seed: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """What stages would write for `dvc plots`, by path; few rows, other ones for another seed."""
    random = np.random.default_rng(seed)
    curves = pd.MultiIndex.from_product(
        [["LeNet-5, fold 1", "LeNet-5, fold 2", "VGG16"], ["training", "validation"], range(1, 5)],
        names=["title", "data", "epoch"],
    ).to_frame(index=False)
    yield "compare/curves", curves.assign(accuracy=random.random(24), loss=random.random(24))
    pairs = pd.MultiIndex.from_product(
        [["LeNet-5", "VGG16"], CLASSES, CLASSES], names=["title", "actual", "predicted"]
    ).to_frame(index=False)
    images = random.integers(1, 9, len(pairs))
    images[pairs["predicted"] == CLASSES[-1]] = 0  # a class that is never predicted
    yield "compare/confusion", pairs.assign(images=images)
    trials = {"units": [32, 64], "learning_rate": [0.01, 0.0001], "val_accuracy": random.random(2)}
    yield "tune/trials", pd.DataFrame(trials)
    counts = random.integers(10, 20, len(CLASSES))
    yield "eda/class_balance", pd.DataFrame({"class": CLASSES, "count": counts})
    values = {"value": [0, 8] * 3, "count": random.integers(0, 9999, 6), "class": CLASSES * 2}
    yield "eda/pixel_histograms", pd.DataFrame(values)


def write_results(folder: Path, seed: int) -> None:
    for name, table in tables(seed):
        path = folder / f"plots/{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
    for name in PICTURES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1000, 400), (seed, 0, 0)).save(path)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with made-up results, and with other ones in its one commit."""
    folder = tmp_path_factory.mktemp("repository")
    project.copy_project(folder)
    write_results(folder, seed=0)
    person = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    subprocess.run(["git", *person, "commit", "--quiet", "-m", "all"], cwd=folder, check=True)
    write_results(folder, seed=1)
    return folder


@pytest.fixture(scope="module", params=["show", "diff"])
def page(repository: Path, request: pytest.FixtureRequest) -> Path:
    revisions = ["HEAD"] if request.param == "diff" else []
    folder = repository / request.param
    printed = project.dvc(
        *(repository, "plots", request.param, *revisions, "--out", folder.name),
        capture_output=True,
        text=True,
    )
    assert "error" not in (printed.stdout + printed.stderr).lower()
    return folder / "index.html"


def test_the_template_has_dvcs_placeholder_once_and_no_place_for_its_scripts():
    template = TEMPLATE.read_text(encoding="utf-8")
    assert template.count("{plot_divs}") == 1
    assert "{scripts}" not in template
    assert TEMPLATE.stat().st_size < LIMIT


def test_the_libraries_are_of_the_versions_that_the_template_names():
    recipe, libraries = TEMPLATE.read_text(encoding="utf-8").split("\n<!-- Libraries -->\n")
    scripts = re.findall(r"<script>\n(.*?)\n</script>\n", libraries, flags=re.DOTALL)
    named = re.search(r"set -- (.*)", recipe)[1].split()
    assert [package.split("@")[0] for package in named] == ["vega", "vega-lite", "vega-embed"]
    for package, script in zip(named, scripts, strict=True):
        assert f'"{package.split("@")[1]}"' in script, package


def test_dvcs_templates_and_ours_are_for_that_vega_lite():
    major = re.search(r"vega-lite@(\d+)", TEMPLATE.read_text(encoding="utf-8"))[1]
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in OURS]
    for content in contents + [template.DEFAULT_CONTENT for template in TEMPLATES]:
        assert content["$schema"].endswith(f"/vega-lite/v{major}.json")


def test_every_template_of_ours_is_in_use():
    used = {next(iter(plot.values()))["template"] for plot in PLOTS if plot not in PICTURES}
    assert used == {path.stem for path in OURS}


def test_nothing_comes_from_outside_the_pages_folder(page):
    found = set()
    for tag, name, value in Reader(page.read_text(encoding="utf-8")).attributes:
        if name in ("src", "srcset", "href", "data", "action"):
            assert value.startswith(("static", "data:")), (tag, name, value[:80])
            found.add(tag)
    assert found == {"link", "img"}


def test_every_plot_of_dvc_yaml_is_there_with_its_data(page):
    text = page.read_text(encoding="utf-8")
    specs = dict(re.findall(r'<div id = "(.*?)">\s*<script.*?>\s*var spec = (.*);\n', text))
    assert set(specs) == set(GRAPHS)
    revisions = {"show": {"workspace"}, "diff": {"workspace", "HEAD"}}[page.parent.name]
    for name, spec in specs.items():
        rows = json.loads(spec)["data"]["values"]
        assert {row["rev"] for row in rows} == revisions, name
    for picture in PICTURES:
        assert f"<p>{picture}" in text


# Adds a plot as DVC writes it where there are no rows, and notes what the page has become.
PROBE = """
<div id = "No_rows"><script>vegaEmbed("#No_rows", {});</script></div>
</main>
<script>
addEventListener("load", () => setTimeout(() => {
  const plots = [...document.querySelector("main").children];
  const probe = document.createElement("pre");
  probe.id = "probe";
  probe.textContent = JSON.stringify({
    text: Object.fromEntries(plots.map((div) => [div.id, div.textContent])),
    drawn: plots.filter((div) => div.querySelector("svg .role-mark path")).map((div) => div.id),
    lines: [...document.querySelectorAll("#Accuracy_by_epoch .mark-line path")].map((line) =>
      [line.getAttribute("stroke"), line.getAttribute("stroke-dasharray")]),
    widths: [...document.images].map((image) => image.naturalWidth),
    columns: getComputedStyle(document.querySelector("main")).gridTemplateColumns.split(" ").length,
    requests: performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 60)),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  });
  document.body.append(probe);
}, 3000));
</script>
"""


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium to open the page with")
@pytest.mark.parametrize(("width", "columns"), [(500, 1), (1400, 2)])
def test_a_browser_shows_every_plot_without_a_complaint(page, tmp_path, width, columns):
    text = page.read_text(encoding="utf-8")
    path = page.with_name("probe.html")
    path.write_text(text.replace("</main>", PROBE), encoding="utf-8")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--disable-sync", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--virtual-time-budget=10000", f"--window-size={width},800", "--dump-dom"),
        path.as_uri(),
    ]
    browser = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in browser.stderr
    found = json.loads(re.search(r'<pre id="probe">(.*)</pre>', browser.stdout)[1])
    assert found["drawn"] == GRAPHS
    assert found["text"]["No_rows"] == "No rows: no data"
    assert found["text"]["plots_eda_class_means_png"].split()[:2] == ["Class", "means"]
    revisions = 2 if page.parent.name == "diff" else 1
    # On both axes of both models, though nothing is taken for it.
    assert found["text"]["Confusion"].count("T-shirt/top") == 2 * 2 * revisions
    assert len(found["widths"]) == len(PICTURES) * revisions
    assert set(found["widths"]) == {1000}
    assert [name for name in found["requests"] if not name.startswith(("file:", "data:"))] == []
    assert found["columns"] == columns
    assert found["overflow"] <= 0
    # Each of the three trainings has a line for either set of images, of each revision.
    assert len(found["lines"]) == 3 * 2 * revisions
    assert len({tuple(line) for line in found["lines"]}) == 2 * revisions
