"""Count what is missing, find repeated rows among the training images and drop them.

A row is an image with its label, as in the study's table of 785 columns. The test set is the
yardstick and is only counted, never changed.

Reads `data/raw/`. Writes `data/clean/` in the same form, and `metrics/clean.json`.
"""

import pandas as pd

from stages import params
from stages.base import images
from stages.base.files import atomic_folder, write_json
from stages.base.images import ImageSet
from stages.cli import run

INPUT = "data/raw"
OUTPUT = "data/clean"
METRICS = "metrics/clean.json"


def repeated(rows: pd.Series, duplicates: str) -> pd.Series:
    """Which rows `duplicates` says to drop (pandas' `drop_duplicates`): bool, one a row."""
    keep = {"drop_all": False, "keep_first": "first"}
    if duplicates == "keep":
        return pd.Series(False, index=rows.index)
    return rows.duplicated(keep=keep[duplicates])


def rows_of(image_set: ImageSet) -> pd.Series:
    """Every row of the table as one value, so that comparing rows is comparing values."""
    return pd.Series([row.tobytes() for row in image_set.table()])


def main() -> None:
    duplicates = params.load().clean.duplicates
    train, test = (images.load(INPUT, split) for split in images.SPLITS)
    train_rows, test_rows = rows_of(train), rows_of(test)

    dropped = repeated(train_rows, duplicates)
    left = ImageSet(train.images[~dropped], train.labels[~dropped], train.classes)
    left_rows = train_rows[~dropped]
    counts = pd.Series(left.labels).value_counts()

    with atomic_folder(OUTPUT) as folder:
        left.save(folder, "train")
        test.save(folder, "test")
    metrics = {
        # uint8 has no value for "missing": `ingest` refuses a table with an empty cell.
        "nulls": int(pd.DataFrame(train.table()).isna().sum().sum()),
        "repeated_rows": int(train_rows.duplicated(keep="first").sum()),
        "dropped_rows": int(dropped.sum()),
        "rows": len(left),
        "repeated_rows_left": int(left_rows.duplicated(keep="first").sum()),
        "test_rows": len(test),
        "test_repeated_rows": int(test_rows.duplicated(keep="first").sum()),
        "train_rows_in_test": int(left_rows.isin(test_rows).sum()),
        **{f"label_{label}": int(counts.get(label, 0)) for label in range(len(left.classes))},
    }
    write_json(METRICS, metrics)
    print(
        f"clean: {metrics['nulls']} nulls, {metrics['repeated_rows']} repeated rows, "
        f"{metrics['dropped_rows']} dropped ({duplicates}); {len(left):,} rows left"
    )


if __name__ == "__main__":
    run(main)
