"""The page of `dvc plots show` and `dvc plots diff`: it opens offline and shows every plot."""

import json
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from dvc_render.base import Renderer

from tests import project
from tests.helpers import CHROMIUM
from tests.project import ROOT

FILE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
OF_STAGES = [plot for stage in FILE["stages"].values() for plot in stage.get("plots", [])]
PLOTS = [*FILE["plots"], *OF_STAGES]
PICTURES = [plot for plot in PLOTS if isinstance(plot, str)]
GRAPHS = {name: options for plot in PLOTS if plot not in PICTURES for name, options in plot.items()}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_template_fits_its_table(name):
    """What it names is a column, or computed in the template."""
    options = GRAPHS[name]
    y = options["y"]
    path, y = next(iter(y.items())) if isinstance(y, dict) else (name, y)
    columns = set(pd.read_csv(ROOT / path).columns) | {"rev"}
    template = (ROOT / f".dvc/plots/{options['template']}.json").read_text(encoding="utf-8")
    computed = re.findall(r"\w+", " ".join(re.findall(r'"as": (.*?)[}\]]', template)))
    fields = set(re.findall(r'"field": "(\w+)"', template)) - set(computed)
    assert {options["x"], y} | fields <= columns


# Notes what the page has become in a browser.
PROBE = """
</main>
<script>
addEventListener("load", () => setTimeout(() => {
  const plots = [...document.querySelector("main").children];
  const probe = document.createElement("pre");
  probe.id = "probe";
  probe.textContent = JSON.stringify({
    drawn: plots.filter((div) => div.querySelector("svg .role-mark path")).map((div) => div.id),
    confusion: document.querySelector("#Confusion").textContent,
    widths: [...document.images].map((image) => image.naturalWidth),
    requests: performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 60)),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  });
  document.body.append(probe);
}, 3000));
</script>
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with its results, and one commit."""
    folder = tmp_path_factory.mktemp("repository")
    project.copy_project(folder, results=True)
    project.git(folder, "add", "--all")
    project.git(folder, *project.COMMIT)
    return folder


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium to open the page with")
@pytest.mark.parametrize(("command", "revisions"), [(["show"], 1), (["diff", "HEAD"], 2)])
def test_a_browser_shows_every_plot_offline(repository, tmp_path, command, revisions):
    project.dvc(repository, "plots", *command, "--out", "page", stdout=subprocess.DEVNULL)
    path = repository / "page/probe.html"
    text = path.with_name("index.html").read_text(encoding="utf-8")
    path.write_text(text.replace("</main>", PROBE), encoding="utf-8")
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
        *("--no-first-run", "--disable-component-update", "--disable-sync"),
        *("--enable-logging=stderr", f"--user-data-dir={tmp_path}", "--window-size=500,800"),
        *("--virtual-time-budget=10000", "--dump-dom"),
    ]
    browser = subprocess.run(
        [CHROMIUM, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in browser.stderr
    page = json.loads(re.search(r'<pre id="probe">(.*)</pre>', browser.stdout)[1])
    assert page["drawn"] == [Renderer.remove_special_chars(name) for name in GRAPHS]
    models = len(pd.read_csv(ROOT / "plots/compare/classifiers.csv"))
    # Each class on both axes of each matrix.
    assert page["confusion"].count("Ankle boot") == 2 * models * revisions
    assert len(page["widths"]) == len(PICTURES) * revisions
    assert min(page["widths"]) > 100
    assert [name for name in page["requests"] if not name.startswith(("file:", "data:"))] == []
    assert page["overflow"] <= 0
