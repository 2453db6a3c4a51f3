"""What one clone trained, another takes from a remote: a folder, or a bucket on this machine.

The bucket needs `pip install 'dvc[s3]' 'moto[server]'`; without them it is skipped.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.base.files import read_yaml
from tests import project
from tests.conftest import copy_with_cache
from tests.helpers import contents
from tests.repro import from_run_cache, ran, repro

TRIED = {"tune.max_epochs": 1, "resnet.study.dense_units": 16}
STAGES = ["tune", "resnet@study"]

Remote = dict[str, str]  # the options of `dvc remote modify`


@pytest.fixture(scope="module")
def tried(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the finished demo in which `STAGES` ran with other values; no commit has them."""
    folder = tmp_path_factory.mktemp("tried") / "first"
    copy_with_cache(finished, folder)
    project.set_params(folder, TRIED)
    assert ran(repro(folder, "--single-item", *STAGES)) == STAGES
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Remote:
    return {"url": str(tmp_path / "remote")}


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """A bucket on a server of this process."""
    for module in ("dvc_s3", "flask"):
        pytest.importorskip(module)
    boto3, server = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    # Whoever runs this may have credentials of their own.
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    url = "http://{}:{}".format(*running.get_host_and_port())
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket="bucket")
    yield {"url": "s3://bucket/storage", "endpointurl": url}
    running.stop()


def two_clones(first: Path, finished: Path, folder: Path, remote: Remote) -> tuple[Path, Path]:
    """A copy of `first`, with its cache, and a clone of the finished demo, without one."""
    clones = folder / "first", folder / "second"
    copy_with_cache(first, clones[0])
    project.git(finished, "clone", "--quiet", str(finished), str(clones[1]))
    for clone in clones:
        for option, value in remote.items():
            project.dvc(clone, "remote", "modify", "--quiet", "--local", "storage", option, value)
    return clones


@pytest.mark.parametrize(
    "kind",
    [pytest.param("folder", marks=pytest.mark.slow), pytest.param("s3", marks=pytest.mark.long)],
)
def test_another_clone_trains_nothing_that_a_remote_has(tried, finished, tmp_path, request, kind):
    """Committed or only tried: a clone of the commit tries what the first one tried."""
    first, second = two_clones(tried, finished, tmp_path, request.getfixturevalue(kind))
    # Without a commit of it the outputs of what was tried are named by no lock but the tried one's;
    # those of the commit are, with this option.
    project.dvc(first, "push", "--quiet", "--run-cache", "--all-commits")
    project.dvc(second, "pull", "--quiet", "--run-cache")
    assert repro(second).endswith("Data and pipelines are up to date.\n")

    shutil.copy(first / "params.yaml", second)
    output = repro(second, "--single-item", "--pull", *STAGES)
    assert ran(output) == []
    assert from_run_cache(output) == STAGES
    for model in ("tune", "lenet/study-1", "resnet/study"):
        assert contents(second / "models" / model) == contents(first / "models" / model)
    for clone in (first, second):
        shutil.rmtree(clone)


@pytest.mark.slow
def test_bytes_that_changed_on_a_remote_are_refused(finished, tmp_path, folder):
    """By `verify`, which `.dvc/config` sets; without it DVC takes them."""
    first, second = two_clones(finished, finished, tmp_path, folder)
    project.dvc(first, "push", "--quiet", "weights@vgg16")
    md5 = read_yaml(first / "dvc.lock")["stages"]["weights@vgg16"]["outs"][0]["md5"]
    stored = tmp_path / "remote/files/md5" / md5[:2] / md5[2:]
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes() + b"!")
    stored.chmod(0o444)  # as DVC leaves it; what has another mode it looks at in any case
    pulled = project.dvc(second, "pull", "weights@vgg16", check=False, capture_output=True)
    assert pulled.returncode != 0
    assert not (second / "models/pretrained/vgg16.npz").exists()
    shutil.rmtree(first)
