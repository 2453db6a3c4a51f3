"""Copy what Git keeps of the search for hyperparameters out of DVC's cache.

Reads `models/tune/`. Writes `metrics/hyperparameters.yaml`, which `cv_lenet` takes its `tuned`
values from, `metrics/tune.json` and `plots/tune/trials.csv`. So a fresh clone trains LeNet-5
without the search, and DVC, which caches it, never repeats it.
"""

import shutil
from pathlib import Path

from stages.base.files import atomic_file
from stages.cli import run

INPUT = Path("models/tune")
OUTPUTS = ("metrics/hyperparameters.yaml", "metrics/tune.json", "plots/tune/trials.csv")


def main() -> None:
    for name in OUTPUTS:
        with atomic_file(name) as unfinished:
            shutil.copyfile(INPUT / Path(name).name, unfinished)
    print(f"choose: {', '.join(OUTPUTS)}")


if __name__ == "__main__":
    run(main)
