"""Input files that are not what they should be: one line each, which begins with their name."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages import ingest
from stages.sources import csv_images, fashion_mnist, idx, pictures
from tests.helpers import as_frame, contents, message_of, random_image_set
from tests.project import ROOT, set_params
from tests.test_pictures import picture, written

FRAME = as_frame(random_image_set(12))
TABLE = FRAME.to_csv(index=False)
PIXELS = np.arange(5 * 784, dtype=np.uint32).astype(np.uint8)
SIGNED = struct.pack(">4B3I", 0, 0, 9, 3, 5, 28, 28)
HEADER = struct.pack(">4B3I", 0, 0, 8, 3, 5, 28, 28)
IDX = HEADER + PIXELS.tobytes()
GZIPPED = gzip.compress(IDX)
WEB_PAGE = b"<!DOCTYPE html>\n<html>\n<body>\n<p>Not here, no,</p>\n"


def with_cell(column: str, cell: str) -> bytes:
    frame = FRAME.astype(str)
    frame.loc[3, column] = cell
    return frame.to_csv(index=False).encode()


def read_table(path: Path) -> None:
    csv_images.read(path, fashion_mnist.CLASSES)


def read_idx(path: Path) -> None:
    idx.read_array(path, (5, 28, 28))


BAD = {
    "table: a word": (read_table, with_cell("pixel400", "dark")),
    "table: a fraction": (read_table, with_cell("pixel400", "0.5")),
    "table: an empty cell": (read_table, with_cell("pixel400", "")),
    "table: a label too high": (read_table, with_cell("label", "10")),
    "table: a pixel missing": (read_table, FRAME.drop(columns="pixel9").to_csv(index=False)),
    "table: rows too long": (read_table, TABLE.replace("\n", ",0\n").replace("784,0", "784")),
    "table: a row too long": (read_table, f"{TABLE}{'0,' * 785}0\n"),
    "table: header only": (read_table, TABLE.splitlines()[0]),
    "table: a web page": (read_table, WEB_PAGE),
    "table: missing": (read_table, None),
    "IDX: half": (read_idx, GZIPPED[: len(GZIPPED) // 2]),
    "IDX: empty": (read_idx, b""),
    "IDX: labels for images": (read_idx, struct.pack(">4BI", 0, 0, 8, 1, 5) + bytes(5)),
    "IDX: signed bytes": (read_idx, SIGNED + PIXELS.tobytes()),
    "IDX: test for train": (read_idx, struct.pack(">4B3I", 0, 0, 8, 3, 4, 28, 28) + IDX[16:3152]),
    "IDX: a value missing": (read_idx, IDX[:-1]),
    "IDX: a value too many": (read_idx, gzip.compress(IDX + b"\0")),
    "picture: text": (pictures.read, b"This is no picture."),
    "picture: half": (pictures.read, (ROOT / "docs/trouser.png").read_bytes()[:200]),
    "picture: missing": (pictures.read, None),
}  # fmt: skip


@pytest.mark.parametrize(("read", "content"), BAD.values(), ids=BAD)
def test_a_bad_file_is_named(tmp_path, read: Callable, content: str | bytes | None):
    path = tmp_path / "bad.file"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert message_of(read, path).startswith(str(path))


def test_the_place_of_a_bad_cell_is_named(tmp_path):
    (tmp_path / "bad.csv").write_bytes(with_cell("pixel7", "256"))
    message = message_of(read_table, tmp_path / "bad.csv")
    assert "line 5, column pixel7: the cell is 256" in message


class TestPictureFolder:
    """What is wrong with a folder of pictures; the name of what is to be mended occurs."""

    @pytest.fixture
    def folder(self, project) -> Path:
        for split in ("train", "test"):
            for name in ("cat", "dog"):
                (project / "mine" / split / name).mkdir(parents=True)
                written(picture(), project / "mine" / split / name / "1.png")
        set_params(project, {"data.source": "folder", "data.folder": "mine"})
        return project / "mine"

    def refused(self) -> str:
        message = message_of(ingest.main)
        assert contents(Path("data")) == {}
        return message

    @pytest.mark.parametrize("name", ["train/cat/2.png", "test/dog/notes.txt", "train/notes.txt"])
    def test_a_file_that_does_not_belong_there(self, folder, name):
        (folder / name).touch()
        assert self.refused().startswith(f"mine/{name}")

    def test_what_is_missing(self, folder):
        (folder / "test/dog/1.png").unlink()
        assert "pictures of the class 'dog' in only one" in self.refused()
        (folder / "train/dog/1.png").unlink()
        assert self.refused().startswith("mine/train has 1 classes")
        folder.rename("elsewhere")
        assert self.refused().startswith("mine/train has 0 classes")
