"""`stages/clean.py` against pandas' own `drop_duplicates`, on tables with repeated rows."""

import numpy as np
import pandas as pd
import pytest

from stages import clean, ingest
from stages.base import images
from stages.base.files import read_json
from tests.helpers import as_frame, contents, random_image_set
from tests.project import set_params

KEEP = {"drop_all": False, "keep_first": "first"}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """A training table with 43 repeated rows, and a test table with repeats of its own.

    41 rows occur twice and one occurs three times. Two rows have one image and different labels,
    which makes them different rows. Ten rows of train, two of which are repeated, are in test too.
    """
    unique = as_frame(random_image_set(300, seed=1))
    relabelled = unique.iloc[[299]].assign(label=0)
    repeats = [unique[:41], unique[41:42], unique[41:42]]
    train = pd.concat([unique, *repeats, relabelled]).sample(frac=1, random_state=0)
    own = as_frame(random_image_set(30, seed=2))
    test = pd.concat([own, unique[39:49], own[:3]])
    assert train.duplicated(keep="first").sum() == 43
    return {"train": train.reset_index(drop=True), "test": test.reset_index(drop=True)}


@pytest.fixture
def ingested(project, tables):
    """A project whose `data/raw` came from those tables, written as CSV."""
    for split, table in tables.items():
        table.to_csv(project / f"{split}.csv", index=False)
    pair = {split: f"{split}.csv" for split in tables}
    set_params(project, {"data.source": "csv", "data.csv": pair})
    ingest.main()
    return project


@pytest.mark.parametrize(
    ("duplicates", "dropped", "left", "shared"),
    [("drop_all", 85, 0, 7), ("keep_first", 43, 0, 10), ("keep", 0, 43, 14)],
)
def test_drops_what_pandas_drops(ingested, tables, duplicates, dropped, left, shared):
    set_params(ingested, {"clean.duplicates": duplicates})
    raw = contents(ingested / "data/raw")
    clean.main()

    train, test = tables["train"], tables["test"]
    if duplicates in KEEP:
        train = train.drop_duplicates(keep=KEEP[duplicates])
    np.testing.assert_array_equal(images.load("data/clean", "train").table(), train)
    written = contents(ingested / "data/clean")
    for name in ("test_images.npy", "test_labels.npy"):
        assert written[name] == raw[name], "the test set is never changed"

    counts = train["label"].value_counts()
    assert read_json("metrics/clean.json") == {
        "nulls": 0,
        "repeated_rows": 43,
        "dropped_rows": dropped,
        "rows": len(train),
        "repeated_rows_left": left,
        "test_rows": 43,
        "test_repeated_rows": 3,
        "train_rows_in_test": shared,
        **{f"label_{label}": counts[label] for label in range(10)},
    }
    assert len(train) == len(tables["train"]) - dropped
    assert len(train.merge(test.drop_duplicates())) == shared
