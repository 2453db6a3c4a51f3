"""`stages/ingest.py`: what it makes of each source, and of inputs that are wrong."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tools.sample
from stages import ingest
from stages.base import images
from stages.sources import fashion_mnist, sample
from tests.helpers import as_frame, contents, message_of, random_image_set, run_stage
from tests.project import ROOT, set_params

GOOD = as_frame(random_image_set(12))
FILES = [f"{name}-ubyte.gz" for name in fashion_mnist.SHA256]


@pytest.fixture(autouse=True)
def sample_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever folder a test is in."""
    monkeypatch.setattr(sample, "PATH", ROOT / sample.PATH)


def use_csv(project: Path, train: pd.DataFrame = GOOD, test: pd.DataFrame = GOOD) -> None:
    train.to_csv(project / "train.csv", index=False)
    test.to_csv(project / "test.csv", index=False)
    set_params(
        project,
        {"data.source": "csv", "data.csv.train": "train.csv", "data.csv.test": "test.csv"},
    )


def assert_nothing_written(project: Path) -> None:
    assert not (project / "data" / "raw").exists()
    assert list(project.rglob(".unfinished-*")) == []


def rows(image_set: images.ImageSet) -> set[bytes]:
    return {row.tobytes() for row in image_set.table()}


class TestSample:
    def test_shapes_and_balance(self):
        for split, per_class in {"train": 200, "test": 50}.items():
            cut = sample.read(split)
            assert cut.images.shape == (10 * per_class, 28, 28)
            assert cut.images.dtype == cut.labels.dtype == np.uint8
            assert np.bincount(cut.labels).tolist() == [per_class] * 10
        assert sample.PATH.stat().st_size < 1_200_000

    def test_no_image_is_there_twice(self):
        train, test = (sample.read(split).images for split in images.SPLITS)
        assert len({image.tobytes() for image in [*train, *test]}) == len(train) + len(test)

    def test_it_is_what_the_script_makes(self, mirror, project, monkeypatch):
        """Pixel by pixel: how a file is packed depends on the library that packs it."""
        committed = sample.PATH
        monkeypatch.setattr(sample, "PATH", committed.relative_to(ROOT))
        monkeypatch.setenv("FASHION_MIRROR", str(mirror))
        tools.sample.main()
        with np.load(sample.PATH) as made, np.load(committed) as expected:
            assert set(made) == set(expected)
            for name in made:
                np.testing.assert_array_equal(made[name], expected[name])
        for path in tools.sample.CSV.values():
            assert path.read_bytes() == (ROOT / path).read_bytes()

    def test_written_whole_and_the_same_again(self, project):
        set_params(project, {"data.source": "sample"})
        ingest.main()
        first = contents(project / "data")
        ingest.main()
        assert contents(project / "data") == first
        assert set(first) == {
            f"raw/{split}_{kind}.npy" for split in images.SPLITS for kind in ("images", "labels")
        }
        np.testing.assert_array_equal(
            images.load("data/raw", "test").table(), sample.read("test").table()
        )

    @pytest.mark.parametrize(
        ("damage", "expected"),
        [
            (None, "is missing; "),
            (lambda content: b"", "is empty; "),
            (lambda content: content[:-1], "is another file: its sum is "),
            (lambda content: content[:200] + b"damage" + content[206:], "is another file: "),
        ],
        ids=["absent", "empty", "cut off", "corrupt"],
    )
    def test_a_damaged_one_is_refused(self, project, monkeypatch, damage, expected):
        path = project / "sample.npz"
        if damage:
            path.write_bytes(damage(sample.PATH.read_bytes()))
        monkeypatch.setattr(sample, "PATH", path)
        set_params(project, {"data.source": "sample"})
        message = message_of(ingest.main)
        assert message.startswith(f"{path} {expected}")
        assert message.endswith(f"; `git checkout -- {path}` brings it back")
        assert_nothing_written(project)


class TestCsv:
    def test_the_pair_in_git_is_cut_from_the_sample(self, project):
        pair = {split: str(ROOT / f"data/sample/{split}.csv") for split in images.SPLITS}
        set_params(project, {"data.source": "csv", "data.csv": pair})
        ingest.main()
        for split, per_class in {"train": 10, "test": 5}.items():
            few = images.load("data/raw", split)
            assert np.bincount(few.labels).tolist() == [per_class] * 10
            assert rows(few) <= rows(sample.read(split))

    @pytest.mark.parametrize("split", images.SPLITS)
    def test_a_bad_cell_leaves_nothing(self, project, split):
        """Of the test table too, which is read when the training images are written."""
        use_csv(project, **{split: GOOD.assign(pixel7=GOOD["pixel7"].where(GOOD.index != 4, 256))})
        assert message_of(ingest.main).startswith(f"{split}.csv, line 6, column pixel7: the cell")
        assert_nothing_written(project)

    @pytest.mark.parametrize("split", images.SPLITS)
    def test_a_missing_class_is_named(self, project, split):
        use_csv(project, **{split: GOOD[~GOOD["label"].isin([3, 9])]})
        assert message_of(ingest.main) == (
            f"the {split} set has no image of label 3, 9; all of 0 to 9 are needed: add images of "
            "it, or take another data.source in params.yaml"
        )
        assert_nothing_written(project)

    def test_the_former_output_stays_when_the_new_input_is_wrong(self, project):
        use_csv(project)
        ingest.main()
        former = contents(project / "data")
        (project / "test.csv").unlink()
        assert "test.csv is missing" in message_of(ingest.main)
        assert contents(project / "data") == former
        assert list(project.rglob(".unfinished-*")) == []


class TestMirror:
    """Files of the right names that are not the published ones; see `test_fashion_mnist.py`."""

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"<html><body>404 Not Found</body></html>", "is a web page, not the file"),
            (gzip.compress(bytes(1000))[:20], "is another file: its sum is sha256:"),
            (b"", "is empty"),
        ],
        ids=["web page", "truncated", "empty"],
    )
    def test_a_wrong_file_leaves_nothing(self, project, tmp_path, monkeypatch, content, expected):
        for name in FILES:
            (tmp_path / name).write_bytes(content)
        monkeypatch.setenv("FASHION_MIRROR", str(tmp_path))
        assert message_of(ingest.main).startswith(f"{tmp_path / FILES[0]} {expected}")
        assert_nothing_written(project)

    @pytest.mark.usefixtures("no_waiting")
    def test_no_network_and_no_mirror(self, project, monkeypatch, nowhere):
        """Every home is asked through a proxy that is not there."""
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, nowhere)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        message = message_of(ingest.main)
        assert message.startswith(
            f"cannot fetch {FILES[0]} from {fashion_mnist.HOMES[0]} (ProxyError)"
        )
        assert "three ways out: connect to the network; set FASHION_MIRROR to" in message
        assert fashion_mnist.HOMES[1] in message
        assert_nothing_written(project)


class TestProcess:
    """What a shell sees: exit status 1, one line on standard error, and no half-written output."""

    def refused(self, project: Path, **environment: str) -> str:
        finished = run_stage(project, "ingest", **environment)
        assert finished.returncode == 1
        assert_nothing_written(project)
        line, *more = finished.stderr.splitlines()
        assert more == []
        assert line.startswith("ingest: error: ")
        return line

    def test_good_input(self, project):
        use_csv(project)
        finished = run_stage(project, "ingest")
        assert (finished.returncode, finished.stderr) == (0, "")
        assert finished.stdout.splitlines()[-1] == "ingest: 12 test images from csv"
        assert images.load("data/raw", "train").images.shape == (12, 28, 28)

    def test_bad_cell(self, project):
        use_csv(project, test=GOOD.assign(pixel1="dark"))
        assert "test.csv, line 2, column pixel1: the cell is 'dark'" in self.refused(project)

    def test_missing_class(self, project):
        use_csv(project, train=GOOD[GOOD["label"] != 0])
        assert "the train set has no image of label 0" in self.refused(project)

    def test_mirror_that_is_no_folder(self, project, tmp_path):
        assert "which is no folder here" in self.refused(project, FASHION_MIRROR=f"{tmp_path}/no")

    def test_web_page_in_the_mirror_folder(self, project, tmp_path):
        (tmp_path / FILES[0]).write_text("<!doctype html><title>Sign in</title>")
        assert "is a web page" in self.refused(project, FASHION_MIRROR=str(tmp_path))

    def test_web_page_from_a_mirror_server(self, project, web_server):
        """A download announces itself and shows its progress; the last line is the error."""
        web_server.files[FILES[0]] = b"<!doctype html><title>Sign in</title>"
        finished = run_stage(project, "ingest", FASHION_MIRROR=web_server.url)
        assert finished.returncode == 1
        assert "Traceback" not in finished.stderr
        assert finished.stderr.splitlines()[-1].startswith(
            f"ingest: error: {web_server.url}/{FILES[0]} is a web page"
        )
        assert_nothing_written(project)

    @pytest.mark.parametrize("folds", [1, [1]])
    def test_too_few_folds(self, project, folds):
        """Every stage reads the whole of `params.yaml`."""
        set_params(project, {"cv.folds": folds})
        assert f"params.yaml: cv.folds is {folds}: " in self.refused(project)
