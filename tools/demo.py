"""The whole pipeline, small, in a scratch copy of the project: `python -m tools.demo [FOLDER]`.

It takes the sample of Fashion-MNIST in `data/sample/` and random weights for the backbones, which
need no network, and numbers small enough for three minutes on two cores. The copy has the working
tree's files as they are, but for the params and a line at the top of `README.md`. It is a
repository of its own, with DVC's cache in it, and ends with a commit of the run on `main`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
DEFAULT_FOLDER = ROOT / ".work" / "demo"
WRITTEN_BY_STAGES = ("dvc.lock", "metrics/", "plots/", "models/exported/", "models/cards/")
# Whoever has told Git no name, or signs commits, or has hooks, gets the demo's commit all the same.
COMMIT = [
    *("-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false"),
    *("commit", "--quiet", "--no-verify", "--message", "The demo's run"),
]

# The README's numbers are of the full run.
NOTE = """\
> **This is the copy that `make demo` has made.** The numbers in this README and in `docs/` are of
> the full run. The demo's own, in `plots/report.html`, in the picture below and in `metrics/`, are
> of 2,500 images, and ResNet50 and VGG16 have random weights: what these give, alone or with
> LeNet-5, shows that everything runs, and nothing else. Call `make` where the copy comes from:
> here it would install `.venv` a second time.

"""

# What the demo keeps of the sections that hold recipes.
KEPT = {
    "lenet": ["study"],
    "features": ["resnet50-study", "vgg16-study"],
    "resnet": ["study"],
    "vgg": ["study"],
}
CHANGES = {
    "data.source": "sample",
    "tune.units": {"min": 32, "max": 256, "step": 8},
    "tune.learning_rate": [0.001, 0.0001],
    "tune.batch_size": 32,
    "tune.max_epochs": 2,
    "tune.factor": 2,
    "cv.folds": [1, 2],
    "lenet.study.epochs": 12,
    "lenet.study.batch_size": 16,
    "backbone.resnet50.weights": "random",
    "backbone.resnet50.layer": "conv2_block3_out",
    "backbone.vgg16.weights": "random",
    "backbone.vgg16.layer": "block3_pool",
    "features.resnet50-study.input_size": 32,
    "features.vgg16-study.input_size": 32,
    "resnet.study.epochs": 2,
    "vgg.study.epochs": 2,
    "vgg.study.dense_units": 256,
}


def copy_project(folder: Path, results: bool = False) -> None:
    """Make `folder` a fresh repository of the project, without a commit, on the branch `main`.

    Args:
        results: with what stages wrote, as far as it is in Git.
    """
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and (results or not name.startswith(WRITTEN_BY_STAGES)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch=main")
    # Not a cache that the user's own configuration shares among projects.
    dvc(folder, "cache", "dir", "--quiet", "--local", ".dvc/cache")


def keep_the_study(folder: Path) -> None:
    """Take all recipes but the study's, and a data set of one's own, out of the params."""
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section, names in KEPT.items():
        params[section] = {name: params[section][name] for name in names}
    for key in ("idx", "classes"):
        params["data"].pop(key, None)
    params["export"]["recipe"] = "study"
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def make_small(folder: Path) -> None:
    """Give the project in `folder` the demo's params."""
    keep_the_study(folder)
    set_params(folder, CHANGES)


def mark_readme(folder: Path) -> None:
    """Say at the top of the README in `folder` which numbers are the demo's."""
    path = folder / "README.md"
    path.write_text(NOTE + path.read_text(encoding="utf-8"), encoding="utf-8")


def set_params(folder: Path, changes: dict[str, Any]) -> None:
    """Change params of the project in `folder`, by their dotted name."""
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        section = params
        *parents, key = name.split(".")
        for parent in parents:
            section = section[parent]
        section[key] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def dvc(
    folder: Path,
    *arguments: str,
    check: bool = True,
    more: dict[str, str] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess:
    """Run DVC in `folder` with this interpreter's own programs first on the path.

    Args:
        more: environment variables.
        options: of `subprocess.run`.
    """
    environment = {
        **os.environ,
        **(more or {}),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=check, **options)


def has_more_than_the_demo(folder: Path) -> bool:
    """Whether the demo ended, and there is a commit, an experiment or a change since."""
    if not (folder / ".git").exists():
        return False

    def said(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True
        ).stdout

    commits = int(said("rev-list", "--all", "--count"))  # those of experiments too
    return commits > 1 or (commits == 1 and bool(said("status", "--porcelain")))


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER
    if folder == DEFAULT_FOLDER:
        if has_more_than_the_demo(folder):
            sys.exit(
                f"demo: error: {folder} has changes, commits or experiments of yours; move it or "
                "delete it"
            )
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        sys.exit(f"demo: error: {folder} is there already; name a folder that is not")
    copy_project(folder)
    make_small(folder)
    mark_readme(folder)
    finished = dvc(folder, "repro", check=False)
    if finished.returncode:
        sys.exit(finished.returncode)
    git(folder, "add", "--all")
    git(folder, *COMMIT)
    print(
        "\nResNet50 and VGG16 have random weights here: what they give, alone or with LeNet-5, "
        "shows\nthat everything runs, and nothing else. LeNet-5 has learnt from 2,000 real images."
        f"\nThe report is {folder}/plots/report.html.\n"
        "Next: `source .venv/bin/activate`, go to "
        f"{folder}, change a number in params.yaml, and see in `dvc status` what `dvc repro` would "
        "run."
    )


if __name__ == "__main__":
    main()
