"""Fixtures that several test files share."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages import clean, encode, ingest
from tests.project import NO_NETWORK, ROOT, set_params
from tools.scratch import LOCATION

for name in LOCATION:  # where a hook of Git's runs the tests
    os.environ.pop(name, None)

# As a user may have set Keras, which may change nothing; it looks for `keras.json` in that folder.
KERAS = {
    "KERAS_HOME": str(Path(__file__).parent),
    "KERAS_MAX_EPOCHS": "1",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
os.environ |= KERAS


def pytest_collection_finish() -> None:
    """Keras is imported by now; a process that a test starts gets none of it."""
    for name in KERAS:
        os.environ.pop(name, None)


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


@pytest.fixture
def web_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A web server on this machine, at `url`.

    files: what it serves, by the path after the first slash; any other name is answered with 404.
    requests: the paths that it was asked for, in order.
    broken_off: so many of its next answers end halfway.
    """
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    web = SimpleNamespace(files={}, requests=[], broken_off=0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/")
            web.requests.append(name)
            if name not in web.files:
                self.send_error(404)
                return
            length = len(web.files[name])
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(web.files[name][: length // 2 if web.broken_off else length])
            web.broken_off = max(0, web.broken_off - 1)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        web.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield web
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A URL at which nobody answers: its port is taken, but not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def full_precision() -> Iterator[None]:
    """What a test sets as Keras's precision is for that test alone."""
    yield
    from stages.training.keras_setup import keras  # not at the top: it takes seconds

    keras.config.set_dtype_policy("float32")


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


def needs_the_demo(item: pytest.Item) -> bool:
    return "finished" in item.fixturenames


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the finished demo comes last, by files: it runs beside the tests before that."""
    late = {item.path for item in items if needs_the_demo(item)}
    items.sort(key=lambda item: (item.path in late, needs_the_demo(item)))


@pytest.fixture(scope="session", autouse=True)
def running_demo(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict] | None]:
    """The demo, started before the first test if any of them needs it.

    Of xdist's workers the first one starts it; as long as it runs, it holds a lock on its log.
    """
    if not any(map(needs_the_demo, request.session.items)):
        yield None
        return
    is_worker = hasattr(request.config, "workerinput")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if is_worker else base) / "demo"
    environment = {key: value for key, value in os.environ.items() if key != "FASHION_MIRROR"}
    environment |= NO_NETWORK
    before, process = users_files(), None
    with suppress(FileExistsError), log_of(folder).open("x") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.demo", str(folder)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield folder, before
    if process and process.poll() is None:
        if not is_worker:  # another one may still wait for it
            os.killpg(process.pid, signal.SIGTERM)  # with DVC, and the stage that DVC has started
        process.wait()


def log_of(demo: Path) -> Path:
    return demo.with_name("demo.log")


@pytest.fixture(scope="session")
def finished(running_demo: tuple[Path, dict]) -> Path:
    """A folder in which the demo has run, without network and without a mirror.

    Its log is beside it, in `demo.log`. Tests may not change it.
    """
    folder, before = running_demo
    with log_of(folder).open() as log:
        fcntl.flock(log, fcntl.LOCK_SH)
        assert (folder / ".git/refs/heads/main").exists(), log.read()
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
