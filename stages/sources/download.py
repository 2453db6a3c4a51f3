"""Files from outside: the mirror first, then their public homes; used only if the sum is right.

The environment variable FASHION_MIRROR names a folder, or the base URL of a web server, that holds
the same files. It is no param, because it cannot change a result.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from stages.cli import InputError

DOWNLOADS = Path(".work/downloads")
AT_MOST = 512 * 2**20  # bytes of one download; the largest published file, ResNet50's, has 95 MB
WAYS_OUT = (
    "three ways out: connect to the network; set FASHION_MIRROR to a folder or a base URL that has "
    "the file; or run `make demo`, which needs neither"
)


@dataclass(frozen=True)
class OutsideFile:
    """A file by its name, the same in every place, and a pinned sum, `sha256:...` or `md5:...`."""

    name: str
    sum: str


def fetch(alternatives: tuple[OutsideFile, ...], homes: tuple[str, ...]) -> Path:
    """The path of a checked local copy of the first of `alternatives` that can be had.

    A file in a mirror folder is used where it lies. A download shows its progress, is tried three
    times, and is kept in `.work/downloads` for the next call.

    Args:
        alternatives: files any of which will do. Those of one name differ in their container, and
            each is accepted under that name.
        homes: base URLs, tried in this order after the mirror.

    Raises:
        InputError: none is to be had, or what is there is another file.
    """
    sums: dict[str, list[str]] = {}
    for file in alternatives:
        sums.setdefault(file.name, []).append(file.sum)

    mirror = os.environ.get("FASHION_MIRROR", "")
    if mirror and "://" not in mirror:
        folder = Path(mirror).expanduser()
        if not folder.is_dir():
            raise InputError(
                f"FASHION_MIRROR is {mirror!r}, which is no folder here; correct it, or unset it"
            )
        for name, accepted in sums.items():
            if (folder / name).is_symlink():
                raise InputError(
                    f"{folder / name} is a symbolic link, which may lead anywhere; put the file "
                    "itself there"
                )
            if (folder / name).is_file():
                check(folder / name, accepted)
                return folder / name
        print(f"{' or '.join(sums)} is not in the mirror {mirror}; trying its public home")
    failures = []
    if "://" in mirror:
        homes = (mirror, *homes)
    for base in homes:
        for name, accepted in sums.items():
            try:
                return _download(f"{base.rstrip('/')}/{name}", accepted, DOWNLOADS)
            except requests.exceptions.RequestException as error:
                failures.append(f"{base} ({type(error).__name__})")
            except InputError as error:
                # A mirror that serves a wrong file is to be mended; a public home has a second.
                if base == mirror:
                    raise
                failures.append(str(error))
    places = " or ".join(dict.fromkeys(failures))
    raise InputError(f"cannot fetch {' or '.join(sums)} from {places}; {WAYS_OUT}")


def fetch_url(url: str, pinned: str) -> Path:
    """The path of a checked local copy of what `url` serves.

    No mirror is asked: data sets of one family have files of the same names.

    Args:
        url: it ends in a file's name.
        pinned: the file's sum, `sha256:...` or `md5:...`.

    Raises:
        InputError: it is not to be had, or is another file.
    """
    try:
        return _download(url, [pinned], DOWNLOADS / pinned.partition(":")[2])
    except requests.exceptions.RequestException as error:
        raise InputError(
            f"cannot fetch {url} ({type(error).__name__}); connect to the network, correct the "
            "URL, or fetch the file by other means and give its path"
        ) from None


def _download(url: str, accepted: list[str], folder: Path) -> Path:
    name = url.rpartition("/")[2]
    kept = folder / name
    if kept.is_file() and _has_one_of(kept, accepted):
        return kept

    def download_and_check(url: str, output_file: str, _: pooch.Pooch) -> None:
        _get(url, Path(output_file))
        check(Path(output_file), accepted, origin=url)

    kept.unlink(missing_ok=True)
    source = pooch.create(
        folder,
        base_url="",
        # No sum here: Pooch takes one a file, and says of a wrong one only that it differs.
        registry={name: None},
        urls={name: url},
        retry_if_failed=2,
    )
    return Path(source.fetch(name, downloader=download_and_check))


def _get(url: str, path: Path) -> None:
    # Pooch's own downloader follows wherever it is sent, and reads as long as it is served.
    with requests.get(url, stream=True, timeout=30, allow_redirects=False) as response:
        if response.is_redirect:
            target = response.headers["Location"][:200]
            raise InputError(
                f"{url} redirects to {target}, and no redirect is followed; if that is the right "
                "place, give its address instead"
            )
        response.raise_for_status()
        length = response.headers.get("Content-Length", "")
        # Python makes no number of 5,000 digits, and tqdm cannot divide one of 400.
        total = int(length) if length.isdecimal() and len(length) < 20 else None
        with (
            path.open("wb") as file,
            tqdm(total=total, ncols=79, unit="B", unit_scale=True) as progress,
        ):
            for chunk in response.iter_content(chunk_size=2**16):
                file.write(chunk)
                progress.update(len(chunk))
                if file.tell() > AT_MOST:
                    raise InputError(
                        f"{url} serves over {AT_MOST:,} bytes, more than any file that is wanted "
                        "here; it was cut off: take another address"
                    )


def _has_one_of(path: Path, accepted: list[str]) -> bool:
    return any(pooch.hashes.hash_matches(path, pinned) for pinned in accepted)


def check(
    path: Path,
    accepted: list[str],
    origin: str | None = None,
    remedy: str = "replace it, or take another mirror",
) -> None:
    """Raise an `InputError` unless `path`, which came from `origin`, has one of the sums."""
    if _has_one_of(path, accepted):
        return
    with path.open("rb") as file:
        beginning = file.read(256).lstrip().lower()
    if beginning.startswith((b"<!doctype", b"<html", b"<?xml")):
        what = "is a web page, not the file (an error page, or a proxy's?)"
    elif not beginning:
        what = "is empty"
    else:
        algorithm = accepted[0].partition(":")[0]
        found = pooch.file_hash(path, algorithm)
        what = f"is another file: its sum is {algorithm}:{found}, where {accepted[0]} is pinned"
    raise InputError(f"{origin or path} {what}; {remedy}")
