"""`stages/sources/download.py`: the mirror, the public homes, and what is said if neither helps."""

import hashlib

import pytest

from stages.catalog import OutsideFile
from stages.sources import download
from stages.sources.download import DOWNLOADS
from tests.helpers import contents, message_of

CONTENT = bytes(range(256)) * 40
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
FILE = OutsideFile("file.bin", SHA256)
OTHER = OutsideFile("other.bin", SHA256)

pytestmark = pytest.mark.usefixtures("project", "no_waiting")


@pytest.fixture
def mirror_folder(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("FASHION_MIRROR", str(folder))
    return folder


@pytest.mark.parametrize("pinned", [SHA256, MD5])
def test_a_file_in_the_mirror_folder_is_used_where_it_lies(mirror_folder, nowhere, pinned):
    (mirror_folder / "file.bin").write_bytes(CONTENT)
    path = download.fetch([OutsideFile("file.bin", pinned)], [nowhere])
    assert path == mirror_folder / "file.bin"
    assert not DOWNLOADS.exists()


def test_what_the_mirror_folder_has_otherwise_comes_from_the_home(mirror_folder, web_server):
    (mirror_folder / "file.bin").write_bytes(CONTENT[:-1])
    web_server.files["file.bin"] = CONTENT
    assert download.fetch([FILE], [web_server.url]).read_bytes() == CONTENT


def test_a_download_is_kept_and_not_repeated(monkeypatch, web_server):
    """Unless it breaks off. A mirror may be a URL; it comes before the homes."""
    web_server.broken_off = 1
    web_server.files.update({"mirror/file.bin": CONTENT, "home/file.bin": CONTENT})
    monkeypatch.setenv("FASHION_MIRROR", f"{web_server.url}/mirror")
    for _ in range(2):
        path = download.fetch([FILE], [f"{web_server.url}/home"])
        assert path.read_bytes() == CONTENT
    assert web_server.requests == ["mirror/file.bin"] * 2
    assert list(contents(DOWNLOADS).values()) == [CONTENT]


def test_the_homes_are_tried_in_turn_and_a_changed_file_is_fetched_again(web_server, nowhere):
    web_server.files |= {"wrong/other.bin": b"", "right/other.bin": CONTENT}
    homes = [nowhere, f"{web_server.url}/wrong", f"{web_server.url}/right"]
    download.fetch([FILE, OTHER], homes).write_bytes(CONTENT[:-1])
    assert download.fetch([FILE, OTHER], homes).read_bytes() == CONTENT


@pytest.mark.outside
def test_a_file_that_is_nowhere_names_every_place_and_the_three_ways_out(
    mirror_folder, web_server, nowhere
):
    (mirror_folder / "file.bin").write_bytes(b"")
    web_server.files["file.bin"] = b"<!doctype html><title>Sign in</title>"
    message = message_of(download.fetch, [FILE, OTHER], [nowhere, web_server.url])
    places = ["mirror/file.bin", f"{nowhere}/file.bin", f"{web_server.url}/file.bin"]
    ways_out = ["network", "FASHION_MIRROR", "make demo"]
    assert [words for words in places + ways_out if words not in message] == []
    assert contents(DOWNLOADS) == {}
