"""Input files that are not what they should be: one line each, which begins with their name."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages import ingest
from stages.sources import csv_images, fashion_mnist, idx, pictures, sample
from tests.helpers import as_frame, contents, message_of, random_image_set
from tests.project import ROOT, set_params
from tests.test_pictures import picture, written

FRAME = as_frame(random_image_set(12))
TABLE = FRAME.to_csv(index=False)
PIXELS = np.arange(5 * 784, dtype=np.uint32).astype(np.uint8)
FLOATS = struct.pack(">4B3I", 0, 0, 13, 3, 5, 28, 28)
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
    "table: over 255": (read_table, with_cell("pixel400", "256")),
    "table: a fraction": (read_table, with_cell("pixel400", "0.5")),
    "table: an empty cell": (read_table, with_cell("pixel400", "")),
    "table: more than 64 bits": (read_table, with_cell("pixel400", "9" * 30)),
    "table: nothing but True": (read_table, FRAME.assign(pixel2=True).to_csv(index=False)),
    "table: a label too high": (read_table, with_cell("label", "10")),
    "table: a pixel missing": (read_table, FRAME.drop(columns="pixel9").to_csv(index=False)),
    "table: a column too many": (read_table, FRAME.assign(id=1).to_csv(index=False)),
    "table: another order": (read_table, FRAME[FRAME.columns[::-1]].to_csv(index=False)),
    "table: no header": (read_table, FRAME.to_csv(index=False, header=False)),
    "table: rows too long": (read_table, TABLE.replace("\n", ",0\n").replace("784,0", "784")),
    "table: a row too long": (read_table, f"{TABLE}{'0,' * 785}0\n"),
    "table: UTF-16": (read_table, TABLE.encode("utf-16")),
    "table: header only": (read_table, TABLE.splitlines()[0]),
    "table: a web page": (read_table, WEB_PAGE),
    "table: packed": (read_table, gzip.compress(TABLE.encode())),
    "table: missing": (read_table, None),
    "IDX: half": (read_idx, GZIPPED[: len(GZIPPED) // 2]),
    "IDX: no deflate stream": (read_idx, GZIPPED[:10] + b"\xff" * 90),
    "IDX: a wrong CRC": (read_idx, GZIPPED[:-8] + bytes(8)),
    "IDX: empty": (read_idx, b""),
    "IDX: labels for images": (read_idx, struct.pack(">4BI", 0, 0, 8, 1, 5) + bytes(5)),
    "IDX: floats for bytes": (read_idx, FLOATS + bytes(15_680)),
    "IDX: test for train": (read_idx, struct.pack(">4B3I", 0, 0, 8, 3, 4, 28, 28) + IDX[16:3152]),
    "IDX: of another size": (read_idx, struct.pack(">4B3I", 0, 0, 8, 3, 5, 14, 28) + bytes(1_960)),
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


@pytest.mark.parametrize("row", [0, 19, 20, 40])
def test_the_line_of_a_bad_cell_is_named_wherever_it_is(tmp_path, monkeypatch, row):
    """A table is read a part at a time."""
    monkeypatch.setattr(csv_images, "ROWS_AT_A_TIME", 20)
    frame = as_frame(random_image_set(41)).astype(str)
    frame.loc[row, "pixel7"] = "256"
    frame.to_csv(tmp_path / "bad.csv", index=False)
    message = message_of(read_table, tmp_path / "bad.csv")
    assert f"line {row + 2}, column pixel7: the cell is 256" in message


def test_another_sample_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "sample.npz"
    path.write_bytes((ROOT / sample.PATH).read_bytes()[:-1])
    monkeypatch.setattr(sample, "PATH", path)
    message = message_of(sample.read, "train")
    assert message.startswith(str(path))
    assert "git checkout" in message


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

    @pytest.mark.parametrize(
        ("added", "named"),
        [
            ("train/cat/2.png", "mine/train/cat/2.png"),  # empty, so it is no picture
            ("test/dog/notes.txt", "mine/test/dog/notes.txt"),
            ("train/notes.txt", "mine/train/notes.txt"),
            ("train/cow/", "mine/train has the class 'cow', which mine/test lacks"),
        ],
    )
    def test_what_does_not_belong_there(self, folder, project, added, named):
        if added.endswith("/"):
            (folder / added).mkdir()
        else:
            (folder / added).touch()
        assert message_of(ingest.main).startswith(named)
        assert not (project / "data").exists() or contents(project / "data") == {}

    def test_what_is_missing(self, folder):
        (folder / "test/dog/1.png").unlink()
        assert message_of(ingest.main).startswith("mine/test/dog ")
        for split in ("train", "test"):
            (folder / split / "dog").rename(folder / split / ".dog")
        assert message_of(ingest.main).endswith("are possible")
        folder.rename("elsewhere")
        assert message_of(ingest.main).startswith("mine/train is missing")
