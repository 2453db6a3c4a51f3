"""Remotes for real: servers for SSH and S3 on this machine, and two clones that share one of them.

They need what the pipeline does not: `pip install 'dvc[ssh]'` and OpenSSH's server, and
`pip install 'dvc[s3]' 'moto[server]'`. What is not there is skipped. `docs/remotes.md` has the same
by hand.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from stages.base.files import read_yaml
from tests import project
from tests.conftest import copy_with_cache
from tests.helpers import contents
from tests.repro import from_run_cache, ran, repro

pytestmark = pytest.mark.long

TRIED = "resnet@study"
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
KEYGEN = shutil.which("ssh-keygen")

Remote = dict[str, str]  # the options of `dvc remote modify`


def missing(*modules: str) -> bool:
    return any(find_spec(module) is None for module in modules)


@pytest.fixture(scope="module")
def tried(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the finished demo in which `TRIED` ran with another value; no commit has it."""
    folder = tmp_path_factory.mktemp("tried") / "first"
    copy_with_cache(finished, folder)
    project.set_params(folder, {"resnet.study.dense_units": 16})
    assert ran(repro(folder, TRIED)) == [TRIED]
    yield folder
    shutil.rmtree(folder)


def use(folder: Path, remote: Remote) -> None:
    for option, value in remote.items():
        project.dvc(folder, "remote", "modify", "--quiet", "--local", "storage", option, value)


def share(tried: Path, finished: Path, folder: Path, remote: Remote) -> None:
    """What the first clone ran, committed or only tried, the second one does not run again."""
    first, second = folder / "first", folder / "second"
    copy_with_cache(tried, first)
    project.git(finished, "clone", "--quiet", str(finished), str(second))
    for clone in (first, second):
        use(clone, remote)

    project.dvc(first, "push", "--quiet", "--run-cache", "--all-commits")
    project.dvc(second, "pull", "--quiet", "--run-cache")
    assert repro(second).endswith("Data and pipelines are up to date.\n")

    shutil.copy(first / "params.yaml", second)
    output = repro(second, "--pull", TRIED)
    assert ran(output) == []
    assert from_run_cache(output) == [TRIED]
    for model in ("lenet/study-1", "resnet/study"):
        assert contents(second / "models" / model) == contents(first / "models" / model)
    for clone in (first, second):
        shutil.rmtree(clone)


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """A bucket on a server of this process."""
    import boto3
    from moto.server import ThreadedMotoServer

    # Whoever runs this may have credentials of their own.
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket="bucket")
    yield {"url": "s3://bucket/storage", "endpointurl": url}
    server.stop()


@pytest.mark.skipif(
    missing("dvc_s3", "boto3", "moto", "flask"),
    reason="needs `pip install 'dvc[s3]' 'moto[server]'`",
)
def test_another_clone_trains_nothing_that_is_in_a_bucket(tried, finished, tmp_path, s3):
    share(tried, finished, tmp_path, s3)


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Remote]:
    """An SSH server of the user who runs this, on a port that was free, with keys of its own."""
    folder = tmp_path / "sshd"
    folder.mkdir(mode=0o700)
    for key in ("host", "user"):
        subprocess.run([KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {folder}/host\n"
        f"AuthorizedKeysFile {folder}/user.pub\n"
        "StrictModes no\n"  # the folders above belong to everybody
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "UsePAM no\n"
        "PidFile none\n"
        "Subsystem sftp internal-sftp\n"
    )
    checked = subprocess.run(
        [SSHD, "-t", "-f", config], capture_output=True, text=True, check=False
    )
    if checked.returncode:  # as root it asks for a folder that only the system's service makes
        pytest.skip(f"sshd does not start here: {checked.stderr.strip()}")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log)
    wait_for(port)
    yield {
        "url": f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder}/storage",
        "keyfile": str(folder / "user"),
    }
    server.terminate()
    server.wait()


def wait_for(port: int, seconds: float = 10) -> None:
    """Until somebody listens."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, "sshd does not answer"
            time.sleep(0.1)


@pytest.mark.skipif(
    missing("dvc_ssh") or not SSHD or not KEYGEN,
    reason="needs `pip install 'dvc[ssh]'` and OpenSSH's server",
)
def test_another_clone_trains_nothing_that_an_ssh_server_has(tried, finished, tmp_path, ssh):
    share(tried, finished, tmp_path, ssh)


def test_bytes_that_changed_on_a_remote_are_refused(finished, tmp_path):
    """With `verify`, which `docs/remotes.md` tells to set; without it DVC takes them."""
    first, second = tmp_path / "first", tmp_path / "second"
    copy_with_cache(finished, first)
    project.git(finished, "clone", "--quiet", str(finished), str(second))
    for clone in (first, second):
        use(clone, {"url": str(tmp_path / "remote"), "verify": "true"})
    project.dvc(first, "push", "--quiet", "weights@vgg16")
    md5 = read_yaml(first / "dvc.lock")["stages"]["weights@vgg16"]["outs"][0]["md5"]
    stored = tmp_path / "remote/files/md5" / md5[:2] / md5[2:]
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes() + b"!")
    stored.chmod(0o444)  # as DVC leaves it; what has another mode it looks at in any case

    pulled = project.dvc(
        second, "pull", "--quiet", "weights@vgg16", check=False, capture_output=True
    )
    assert pulled.returncode != 0
    assert not (second / "models/pretrained/vgg16.npz").exists()
    shutil.rmtree(first)
