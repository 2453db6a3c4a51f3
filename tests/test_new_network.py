"""`docs/add-a-network.md`, followed as it stands: another backbone, with random weights."""

import re
import textwrap
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.helpers import fenced
from tests.repro import ran, repro

SMALL = {"weights": "random", "epochs": 2, "dense_units": 16, "input_size": 32}


def change(path: Path, pattern: str, replacement: str, times: int) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert count == times
    path.write_text(text)


@pytest.mark.slow
@pytest.mark.long
def test_another_backbone_is_a_row_a_section_and_two_stages(scratch):
    backbone, network, sections, stages = [code for _, code in fenced("docs/add-a-network.md")]
    for table, row in (("BACKBONES", backbone), ("NETWORKS", network)):
        row = textwrap.indent(row, "    ")
        change(scratch / "stages/catalog.py", rf"(^{table} = {{.*?\n)}}", rf"\1{row}}}", times=1)

    params = yaml.safe_load((scratch / "params.yaml").read_text())
    for section, content in yaml.safe_load(sections).items():
        for settings in content.values():
            settings |= {key: value for key, value in SMALL.items() if key in settings}
        params.setdefault(section, {}).update(content)
    (scratch / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    graph = scratch / "dvc.yaml"
    change(graph, r"^  misclassified:", textwrap.indent(stages, "  ") + "\n  misclassified:", 1)
    change(graph, r"^(      - metrics/)vgg\n", r"\1vgg\n\1mobilenet\n", times=2)
    change(graph, r"^(    params: \[[^\]]*vgg[^\]]*)\]", r"\1, mobilenet]", times=3)

    stages_run = ran(repro(scratch))
    for stage in ("weights@mobilenetv2", "mobilenet@improved", "evaluate_mobilenet@improved"):
        assert stage in stages_run
    assert not [stage for stage in stages_run if "lenet@" in stage and "mobilenet" not in stage]
    results = pd.read_csv(scratch / "plots/compare/results.csv")
    assert "mobilenet" in set(results["network"])
    assert "MobileNetV2" in (scratch / "plots/report.html").read_text(encoding="utf-8")
    assert (scratch / "models/cards/mobilenet-improved.md").exists()
