"""Files from outside: from the mirror or their public homes, used only if the checksum is right.

The environment variable FASHION_MIRROR names a folder, or the base URL of a web server, that holds
the same files and is tried first. It is no param, because it cannot change a result.
"""

import os
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pooch
import requests
from pooch.hashes import hash_matches

from stages.catalog import OutsideFile
from stages.cli import InputError

DOWNLOADS = Path(".work/downloads")
TRIES = 3
WAYS_OUT = (
    "three ways out: connect to the network; set FASHION_MIRROR to a folder or a base URL that has "
    "the file; or run `make demo`, which needs neither"
)


def fetch(files: Sequence[OutsideFile], homes: Sequence[str]) -> Path:
    """The path of a checked local copy of the first of `files` that can be had.

    A file in a mirror folder is used where it lies. A download is kept for the next call.

    Args:
        files: any of them will do.
        homes: base URLs, tried in this order after the mirror.

    Raises:
        InputError: no place has a file with its pinned checksum.
    """
    mirror = os.environ.get("FASHION_MIRROR", "")
    failures = []
    for file in files:
        if (kept := _kept(file)).is_file() and hash_matches(kept, file.sum):
            return kept
    if mirror and "://" not in mirror:
        for file in files:
            path = Path(os.path.expanduser(mirror), file.name)
            if path.is_file() and hash_matches(path, file.sum):
                return path
            failures.append(f"{path} {'has another checksum' if path.exists() else 'is missing'}")
    bases = (mirror, *homes) if "://" in mirror else homes
    for base, file in product(bases, files):
        url = f"{base.rstrip('/')}/{file.name}"
        try:
            return _download(url, file)
        except requests.RequestException as error:
            answered = error.response is not None  # else the text is a chain of library errors
            failures.append(f"{url} ({error if answered else type(error).__name__})")
        except ValueError as error:  # Pooch's for a wrong checksum
            failures.append(f"{url} ({error})")
    names = " or ".join(dict.fromkeys(file.name for file in files))
    raise InputError(f"cannot get {names}: {', '.join(failures)}; {WAYS_OUT}")


def check(path: Path, pinned: str, remedy: str) -> None:
    """Raise an `InputError` that ends in `remedy` unless `path` has the checksum `pinned`."""
    if not hash_matches(path, pinned):
        algorithm = pinned.partition(":")[0]
        actual = f"{algorithm}:{pooch.file_hash(path, algorithm)}"
        raise InputError(f"{path} has the checksum {actual}, where {pinned} is pinned; {remedy}")


def _kept(file: OutsideFile) -> Path:
    # By its checksum, because data sets of one family have files of the same names.
    return DOWNLOADS / file.sum.partition(":")[2] / file.name


def _download(url: str, file: OutsideFile) -> Path:
    kept = _kept(file)
    downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16)
    for left in reversed(range(TRIES)):
        try:
            pooch.retrieve(url, file.sum, kept.name, kept.parent, downloader=downloader)
            break
        except requests.RequestException as error:
            if not left or error.response is not None:
                raise
            time.sleep(1)
    return kept
