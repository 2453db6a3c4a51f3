"""The whole pipeline with other params, in a scratch copy of the project.

    python -m tools.demo [FOLDER] [--params FILE]

The params are those of `demo.yaml`, small enough for two minutes on two cores without a network,
and the copy has a cache of its own. With a FILE it uses this project's cache, so that what ran here
does not run again. It is a repository of its own, has the working tree's files as they are, and
ends with a commit of the run on `main`.
"""

import argparse
import shutil
import sys
from pathlib import Path

from stages import params
from stages.cli import InputError
from tools.scratch import ROOT, copy_project, dvc, git


def main(folder: Path, file: Path | None) -> int:
    """Copy, run and commit.

    Returns:
        The exit status of `dvc repro`.

    Raises:
        InputError: the folder is there already, a file of params is wrong, or Git does not help.
    """
    if folder.exists():
        raise InputError(f"{folder} is there already: name another folder, or delete it")
    chosen = file or ROOT / "demo.yaml"
    params.load(chosen)
    copy_project(folder)
    shutil.copy(chosen, folder / "params.yaml")
    if file:
        cache = dvc(ROOT, "cache", "dir", capture_output=True, text=True).stdout.strip()
        dvc(folder, "cache", "dir", "--quiet", "--local", cache)
    status = dvc(folder, "repro", check=False).returncode
    if not status:
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", f"The run of {chosen.name}")
        print(f"\nThe run is committed in {folder}; its report is {folder}/plots/report.html.")
    return status


if __name__ == "__main__":
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m tools.demo", None, __doc__, formatter_class=formatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / ".work/demo")
    parser.add_argument("--params", dest="file", type=Path, metavar="FILE")
    try:
        sys.exit(main(**vars(parser.parse_args())))
    except InputError as error:
        sys.exit(f"demo: error: {error}")
