"""The whole pipeline with other params, in a scratch copy of the project.

    python -m tools.demo [FOLDER] [--params FILE] [--share-cache]

The params are those of `demo.yaml`, small enough for two minutes on two cores without a network.
The copy has the working tree's files as they are. It is a repository of its own, with a cache of
its own, and ends with a commit of the run on `main`.
"""

import argparse
import shutil
import sys
from pathlib import Path

from stages import params
from stages.cli import InputError
from tools.scratch import ROOT, copy_project, dvc, git


def main(folder: Path, file: Path, share_cache: bool) -> int:
    """Copy, run and commit.

    Returns:
        The exit status of `dvc repro`.

    Raises:
        InputError: the folder is there already, a file of params is wrong, or Git does not help.
    """
    if folder.exists():
        raise InputError(f"{folder} is there already: name another folder, or delete it")
    params.load(file)
    copy_project(folder)
    shutil.copy(file, folder / "params.yaml")
    if share_cache:
        cache = dvc(ROOT, "cache", "dir", capture_output=True, text=True).stdout.strip()
        dvc(folder, "cache", "dir", "--quiet", "--local", cache)
    status = dvc(folder, "repro", check=False).returncode
    if not status:
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", f"The run of {file.name}")
        print(f"\nThe run is committed in {folder}; its report is {folder}/plots/report.html.")
    return status


if __name__ == "__main__":
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m tools.demo", None, __doc__, formatter_class=formatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / ".work/demo")
    parser.add_argument("--params", dest="file", type=Path, default=ROOT / "demo.yaml")
    shared = "use this project's cache: what ran here is not run again"
    parser.add_argument("--share-cache", action="store_true", help=shared)
    try:
        sys.exit(main(**vars(parser.parse_args())))
    except InputError as error:
        sys.exit(f"demo: error: {error}")
