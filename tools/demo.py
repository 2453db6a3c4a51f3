"""The whole pipeline with other params, in a scratch copy of the project.

    python -m tools.demo [FOLDER] [--params FILE]

The params are those of `demo.yaml`, for two to four minutes on two cores without a network, and the
copy has its own cache. With a FILE it uses this project's cache, so that what ran here does not run
again. The copy has the working tree's files, uncommitted changes too; it is a separate repository,
and ends with a commit of the run on `main`.
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
        InputError: the folder exists already, a file of params is wrong, or Git fails.
    """
    if folder.exists():
        raise InputError(f"{folder} exists already; name another folder, or delete it")
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
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m tools.demo", None, __doc__, formatter_class=raw)
    demo = ROOT / ".work/demo"
    parser.add_argument("folder", nargs="?", type=Path, default=demo, help="default: .work/demo")
    parser.add_argument("--params", dest="file", type=Path, metavar="FILE", help="other params")
    try:
        sys.exit(main(**vars(parser.parse_args())))
    except InputError as error:
        sys.exit(f"demo: error: {error}")
