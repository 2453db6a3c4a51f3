"""`stages/sources/download.py`: the mirror, the public homes, and what is said if neither helps."""

import ast
import gzip
import hashlib
from http.server import BaseHTTPRequestHandler

import pytest

from stages.sources import download, fashion_mnist
from stages.sources.download import DOWNLOADS, OutsideFile
from tests.helpers import contents, message_of, traced_memory
from tests.project import ROOT

CONTENT = bytes(range(256)) * 40
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
FILE = OutsideFile("file.bin", SHA256)
OTHER = OutsideFile("other.bin", SHA256)
WEB_PAGE = b"\n<!DOCTYPE html>\n<html><body>Please log in</body></html>"

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
    path = download.fetch((OutsideFile("file.bin", pinned),), (nowhere,))
    assert path == mirror_folder / "file.bin"
    assert not DOWNLOADS.exists()


def test_any_of_the_alternatives_will_do(mirror_folder, nowhere):
    """Of two containers under one name, and of two names."""
    (mirror_folder / "other.bin").write_bytes(CONTENT)
    wrong = OutsideFile("other.bin", f"md5:{'0' * 32}")
    path = download.fetch((FILE, wrong, OTHER), (nowhere,))
    assert path == mirror_folder / "other.bin"


def test_what_the_mirror_folder_lacks_comes_from_the_home(mirror_folder, web_server, capsys):
    web_server.files["file.bin"] = CONTENT
    assert download.fetch((FILE,), (web_server.url,)).read_bytes() == CONTENT
    assert f"file.bin is not in the mirror {mirror_folder}" in capsys.readouterr().out


@pytest.mark.parametrize("end", ["", "/"])
def test_a_download_is_kept_and_not_repeated(monkeypatch, web_server, end):
    """A mirror may be a URL; it comes before the homes."""
    web_server.files.update({"mirror/file.bin": CONTENT, "home/file.bin": CONTENT})
    monkeypatch.setenv("FASHION_MIRROR", f"{web_server.url}/mirror{end}")
    for _ in range(2):
        path = download.fetch((FILE,), (f"{web_server.url}/home",))
        assert path.read_bytes() == CONTENT
    assert web_server.requests == ["mirror/file.bin"]
    assert contents(DOWNLOADS) == {"file.bin": CONTENT}


def test_a_kept_file_that_was_damaged_is_fetched_again(web_server):
    web_server.files["file.bin"] = CONTENT
    path = download.fetch((FILE,), (web_server.url,))
    path.write_bytes(CONTENT[:-1])
    assert download.fetch((FILE,), (web_server.url,)).read_bytes() == CONTENT
    assert len(web_server.requests) == 2


def test_a_download_that_breaks_off_is_tried_three_times(web_server):
    web_server.files["file.bin"] = CONTENT
    web_server.broken_off = 2
    assert download.fetch((FILE,), (web_server.url,)).read_bytes() == CONTENT
    assert len(web_server.requests) == 3


def test_the_homes_are_tried_in_turn(web_server, nowhere):
    web_server.files["other.bin"] = CONTENT
    path = download.fetch((FILE, OTHER), (nowhere, web_server.url))
    assert path.name == "other.bin"
    assert path.read_bytes() == CONTENT


def test_no_source_at_all_names_the_three_ways_out(nowhere):
    message = message_of(download.fetch, (FILE, OTHER), (nowhere, "http://127.0.0.1:0"))
    assert message == (
        f"cannot fetch file.bin or other.bin from {nowhere} (ConnectionError) or "
        "http://127.0.0.1:0 (ConnectionError); three ways out: connect to the network; set "
        "FASHION_MIRROR to a folder or a base URL that has the file; or run `make demo`, which "
        "needs neither"
    )
    assert contents(DOWNLOADS) == {}


def test_a_file_that_no_home_has(web_server):
    message = message_of(download.fetch, (FILE,), (web_server.url,))
    assert message.startswith(f"cannot fetch file.bin from {web_server.url} (HTTPError); three")


WRONG = [
    (WEB_PAGE, "is a web page, not the file"),
    (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "is a web page, not the file"),
    (b"", "is empty"),
    (
        CONTENT[:-1],
        f"is another file: its sum is sha256:{hashlib.sha256(CONTENT[:-1]).hexdigest()}, where "
        f"{SHA256} is pinned",
    ),
]
NAMES = ["web page", "XML error", "empty", "another file"]


@pytest.mark.parametrize(("content", "expected"), WRONG, ids=NAMES)
def test_a_wrong_file_in_the_mirror_folder_is_refused(mirror_folder, nowhere, content, expected):
    path = mirror_folder / "file.bin"
    path.write_bytes(content)
    message = message_of(download.fetch, (FILE,), (nowhere,))
    assert message.startswith(f"{path} {expected}")
    assert message.endswith("replace it, or take another mirror")
    assert path.read_bytes() == content


@pytest.mark.parametrize(("content", "expected"), WRONG, ids=NAMES)
def test_a_wrong_file_from_a_web_server_is_refused(monkeypatch, web_server, content, expected):
    web_server.files["file.bin"] = content
    monkeypatch.setenv("FASHION_MIRROR", web_server.url)
    message = message_of(download.fetch, (FILE,), ())
    assert message.startswith(f"{web_server.url}/file.bin {expected}")
    assert contents(DOWNLOADS) == {}


@pytest.mark.parametrize("name", ["absent", "file"])
def test_a_mirror_that_is_no_folder_is_refused(monkeypatch, tmp_path, nowhere, name):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FASHION_MIRROR", str(tmp_path / name))
    assert message_of(download.fetch, (FILE,), (nowhere,)) == (
        f"FASHION_MIRROR is '{tmp_path / name}', which is no folder here; correct it, or unset it"
    )


@pytest.mark.parametrize("target", ["file", "nothing"])
def test_a_symbolic_link_in_the_mirror_folder_is_refused(mirror_folder, tmp_path, nowhere, target):
    (tmp_path / "file").write_bytes(CONTENT)
    (mirror_folder / "file.bin").symlink_to(tmp_path / target)
    assert message_of(download.fetch, (FILE,), (nowhere,)) == (
        f"{mirror_folder / 'file.bin'} is a symbolic link, which may lead anywhere; put the file "
        "itself there"
    )


def test_a_mirror_folder_reached_by_a_symbolic_link_is_fine(mirror_folder, monkeypatch, tmp_path):
    (mirror_folder / "file.bin").write_bytes(CONTENT)
    link = tmp_path / "link"
    link.symlink_to(mirror_folder)
    monkeypatch.setenv("FASHION_MIRROR", str(link))
    assert download.fetch((FILE,), ()) == link / "file.bin"


def answer(web_server, monkeypatch, do_get) -> str:
    """Let the web server answer by `do_get`, and be the mirror; what it is asked for."""
    handler = type("Handler", (BaseHTTPRequestHandler,), {"do_GET": do_get, "log_message": silent})
    monkeypatch.setattr(web_server.server, "RequestHandlerClass", handler)
    monkeypatch.setenv("FASHION_MIRROR", web_server.url)
    return f"{web_server.url}/file.bin"


def silent(*_: object) -> None:
    pass


@pytest.mark.parametrize("announced", [None, 10**15], ids=["without end", "of a petabyte"])
def test_a_mirror_that_serves_too_much_is_cut_off(web_server, monkeypatch, announced):
    sent = 0

    def do_get(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        if announced:
            handler.send_header("Content-Length", str(announced))
        handler.end_headers()
        try:
            while sent < 100 * 2**20:
                sent += handler.wfile.write(bytes(2**16))
        except (BrokenPipeError, ConnectionResetError):
            pass

    url = answer(web_server, monkeypatch, do_get)
    monkeypatch.setattr(download, "AT_MOST", 2**20)
    assert message_of(download.fetch, (FILE,), ()) == (
        f"{url} serves over 1,048,576 bytes, more than any file that is wanted here; it was cut "
        "off: take another address"
    )
    assert sent < 100 * 2**20, "the rest was not waited for"
    assert contents(DOWNLOADS) == {}


def test_a_mirror_whose_answer_grows_while_it_is_unpacked_is_cut_off(web_server, monkeypatch):
    """32 MB in 32 kB, in the encoding that a web server may choose."""
    packed = gzip.compress(bytes(32 * 2**20))

    def do_get(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(packed)

    url = answer(web_server, monkeypatch, do_get)
    monkeypatch.setattr(download, "AT_MOST", 2**20)
    with traced_memory() as found:
        assert message_of(download.fetch, (FILE,), ()).startswith(f"{url} serves over 1,048,576")
    assert found.peak < 2**23, "the rest was not unpacked"
    assert contents(DOWNLOADS) == {}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_mirror_that_redirects_is_not_followed(web_server, monkeypatch, status):
    asked = []

    def do_get(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        handler.send_response(status)
        handler.send_header("Location", "/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    url = answer(web_server, monkeypatch, do_get)
    assert message_of(download.fetch, (FILE,), ()).startswith(f"{url} redirects to /elsewhere, and")
    assert asked == ["/file.bin"]
    assert contents(DOWNLOADS) == {}


@pytest.mark.parametrize("length", ["long", "9" * 400, "9" * 5_000], ids=["text", "400", "5000"])
def test_an_announced_length_that_is_no_number(web_server, monkeypatch, length):
    def do_get(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(CONTENT)

    url = answer(web_server, monkeypatch, do_get)
    if length == "9" * 400:  # then more is waited for than comes
        message = message_of(download.fetch, (FILE,), ())
        assert message.startswith(f"cannot fetch file.bin from {url.rpartition('/')[0]} (")
    else:
        assert download.fetch((FILE,), ()).read_bytes() == CONTENT


def test_what_is_published_is_within_the_bound_and_asked_for_by_https():
    """ResNet50's file, the largest, has 94,765,736 bytes."""
    assert download.AT_MOST > 2 * 94_765_736
    for home in (*fashion_mnist.HOMES, *(home for homes in weights_homes() for home in homes)):
        assert home.startswith("https://")


def weights_homes() -> list[tuple[str, ...]]:
    """Without an import of TensorFlow, which `stages.weights` needs."""
    tree = ast.parse((ROOT / "stages/weights.py").read_text(encoding="utf-8"))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "HOMES"
    )
    return list(ast.literal_eval(value).values())
