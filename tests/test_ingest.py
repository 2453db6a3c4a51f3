"""`stages/ingest.py`: what it makes of each source; bad files are in `test_bad_files.py`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages import ingest
from stages.base import images
from stages.sources import fashion_mnist, sample
from tests.helpers import as_frame, contents, message_of, random_image_set
from tests.project import ROOT, set_params

GOOD = as_frame(random_image_set(12))


@pytest.fixture(autouse=True)
def sample_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever folder a test is in."""
    monkeypatch.setattr(sample, "PATH", ROOT / sample.PATH)


def use_csv(project: Path, train: pd.DataFrame = GOOD, test: pd.DataFrame = GOOD) -> None:
    train.to_csv(project / "train.csv", index=False)
    test.to_csv(project / "test.csv", index=False)
    pair = {"train": "train.csv", "test": "test.csv"}
    set_params(project, {"data.source": "csv", "data.csv": pair})


def named(image_set: images.ImageSet) -> set[tuple[str, bytes]]:
    """Each image with the name of its class."""
    pairs = zip(image_set.labels, image_set.images, strict=True)
    return {(image_set.classes[label], pixels.tobytes()) for label, pixels in pairs}


def test_the_sample(project):
    set_params(project, {"data.source": "sample"})
    ingest.main()
    for split, per_class in {"train": 200, "test": 50}.items():
        raw = images.load("data/raw", split)
        np.testing.assert_array_equal(raw.table(), sample.read(split).table())
        assert np.bincount(raw.labels).tolist() == [per_class] * 10
        assert raw.classes == fashion_mnist.CLASSES


def test_the_pictures_in_git(project):
    """28x28 on a dark ground, they are taken as they are: images of the sample."""
    folder = str(ROOT / "data/sample/pictures")
    set_params(project, {"data.source": "folder", "data.folder": folder})
    ingest.main()
    for split, per_class in {"train": 10, "test": 5}.items():
        few, whole = images.load("data/raw", split), sample.read(split)
        assert few.classes == ("Bag", "Sneaker", "Trouser")
        assert np.bincount(few.labels).tolist() == [per_class] * 3
        assert named(few) <= named(whole)


def test_of_larger_pictures_the_framing_can_be_switched_off(project):
    square = np.zeros((280, 280), np.uint8)
    square[60:120, 60:120] = 200
    for name in ("train/a/1.png", "train/b/2.png", "test/a/1.png", "test/b/1.png"):
        (project / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(square).save(project / "mine" / name)
    (project / "mine/train/b/.hidden").touch()
    changes = {"data.source": "folder", "data.folder": "mine", "data.framed": False}
    set_params(project, changes)
    ingest.main()
    expected = np.pad(np.full((6, 6), 200), ((6, 16), (6, 16)))
    whole = images.load("data/raw", "train").images.astype(int)
    assert abs(whole - expected).max() < 30


def test_the_former_output_stays_when_the_new_input_is_wrong(project):
    use_csv(project)
    ingest.main()
    former = contents(project / "data")
    use_csv(project, test=GOOD.assign(pixel7=256))
    assert "test.csv, line 2, column pixel7" in message_of(ingest.main)
    assert contents(project / "data") == former
