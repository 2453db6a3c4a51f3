"""Fixtures that several test files share."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stages import clean, encode, ingest
from tests.project import ROOT, set_params


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the project's `params.yaml`, entered; no mirror is set."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("FASHION_MIRROR", raising=False)
    return folder


@pytest.fixture(scope="session")
def mirror(request: pytest.FixtureRequest) -> Path:
    """The folder with the published files that FASHION_MIRROR names; without it: skip."""
    name = os.environ.get("FASHION_MIRROR", "")
    folder = request.config.invocation_params.dir / Path(name).expanduser()
    if not name or not folder.is_dir():
        pytest.skip("needs the published files: FASHION_MIRROR names no folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def fashion_mnist(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project folder in which the stages up to `encode` ran on the published files."""
    folder = tmp_path_factory.mktemp("fashion_mnist")
    shutil.copy(ROOT / "params.yaml", folder)
    set_params(folder, {"data.source": "fashion_mnist", "clean.duplicates": "drop_all"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FASHION_MIRROR", str(mirror))
        for stage in (ingest, clean, encode):
            stage.main()
    yield folder
    shutil.rmtree(folder / "data")  # pytest keeps its folders for a while, and this is 300 MB


class WebServer:
    """A web server on this machine.

    files: what it serves, by the path after the first slash; any other name is answered with 404.
    requests: the paths that it was asked for, in order.
    broken_off: so many of its next answers end halfway.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.broken_off = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/")
                outer.requests.append(name)
                if name not in outer.files:
                    self.send_error(404)
                    return
                content = outer.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if outer.broken_off:
                    outer.broken_off -= 1
                    content = content[: len(content) // 2]
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def web_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    web_server = WebServer()
    thread = threading.Thread(target=web_server.server.serve_forever, args=(0.01,))
    thread.start()
    yield web_server
    web_server.server.shutdown()
    thread.join()
    web_server.server.server_close()


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A URL at which nobody answers: its port is taken, but not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pooch tries again at once, where it otherwise waits for a second or two."""
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)


def users_files() -> dict[str, tuple[int, int]]:
    """Time of change and size of all that a run writes, in the repository itself."""
    names = ("params.yaml", "dvc.lock", "data", "metrics", "models", "plots")
    roots = [ROOT / name for name in names]
    paths = [path for root in roots for path in [root, *root.rglob("*")] if path.exists()]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


NEEDS_THE_DEMO = "finished"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the finished demo comes last: it runs beside the tests before that."""
    items.sort(key=lambda item: NEEDS_THE_DEMO in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def running_demo(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen, Path, dict] | None]:
    """The demo, started before the first test if any of them needs it."""
    if not any(NEEDS_THE_DEMO in item.fixturenames for item in request.session.items):
        yield None
        return
    folder = tmp_path_factory.mktemp("demo") / "first"
    environment = {key: value for key, value in os.environ.items() if key != "FASHION_MIRROR"}
    # A proxy that is not there: whatever asked for the network would fail.
    environment |= {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "tools.demo", str(folder)]
    before = users_files()
    with (folder.parent / "demo.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield process, folder, before
    if process.poll() is None:  # with DVC, which it has started, and the stage that DVC has
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.fixture(scope="session")
def finished(running_demo: tuple[subprocess.Popen, Path, dict]) -> Path:
    """A folder in which the demo has run, without network and without a mirror.

    Its log is beside it, in `demo.log`. Tests may not change it.
    """
    process, folder, before = running_demo
    assert process.wait() == 0, (folder.parent / "demo.log").read_text()
    assert users_files() == before, "the demo changed files outside its folder"
    return folder


@pytest.fixture
def scratch(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the finished demo that a test may change, DVC's cache and run cache included."""
    folder = tmp_path / "scratch"
    copy_with_cache(finished, folder)
    yield folder
    shutil.rmtree(folder)  # pytest keeps its folders for a while, and this is 200 MB


def copy_with_cache(source: Path, folder: Path) -> None:
    """Copy a project. The files in DVC's cache, which never change, are linked."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("cache"))
    cache = ".dvc/cache"
    shutil.copytree(source / cache, folder / cache, copy_function=os.link)
