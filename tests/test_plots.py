"""The page of `dvc plots show` and `dvc plots diff`: it opens offline and shows every plot."""

import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from dvc_render.base import Renderer
from playwright.sync_api import sync_playwright

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
def test_a_browser_shows_every_plot_offline(repository, command, revisions):
    project.dvc(repository, "plots", *command, "--out", "page", stdout=subprocess.DEVNULL)
    complaints, requests = [], []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = chromium.new_context(viewport={"width": 500, "height": 800}, offline=True)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((repository / "page/index.html").as_uri())
        for name in GRAPHS:
            plot = f'[id="{Renderer.remove_special_chars(name)}"]'
            page.wait_for_selector(f"{plot} svg .role-mark path", state="attached")
        confusion = page.text_content("#Confusion")
        widths = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 500
        chromium.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    models = len(pd.read_csv(ROOT / "plots/compare/classifiers.csv"))
    # Each class on both axes of each matrix.
    assert confusion.count("Ankle boot") == 2 * models * revisions
    assert len(widths) == len(PICTURES) * revisions
    assert min(widths) > 100
