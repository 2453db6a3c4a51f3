"""Evaluate LeNet-5 of one fold on the test set.

Reads `models/lenet/RECIPE-FOLD/` and `data/encoded/test/`. Writes for RECIPE and FOLD
`metrics/lenet/RECIPE-FOLD/`; `stages/results/evaluation.py` says what is in it.
"""

from pathlib import Path

import numpy as np

from stages.base.files import load_array
from stages.cli import run
from stages.networks.raw_lenet import on_encoded_images
from stages.results import evaluation
from stages.results.evaluation import Predictions
from stages.training.keras_setup import use_deterministic_operations
from stages.training.saving import load_model

INPUT = Path("data/encoded/test")


def main(recipe: str, fold: int) -> None:
    name = f"{recipe}-{fold}"
    trained = Path("models/lenet") / name
    use_deterministic_operations()
    model = load_model(trained / "model.keras")
    on_encoded = on_encoded_images(model)
    x, y = (load_array(INPUT / f"{kind}.npy") for kind in ("images", "labels"))

    def probabilities() -> np.ndarray:
        return on_encoded.predict(x, batch_size=256, verbose=0)

    def with_weights(path: Path) -> np.ndarray:
        model.get_layer("lenet").load_weights(path)
        return probabilities()

    test = Predictions(probabilities(), y.argmax(axis=1).astype(np.uint8))
    summary = evaluation.evaluate(trained, Path("metrics/lenet") / name, test, with_weights)
    print(f"evaluate_lenet@{name}: {summary}")


if __name__ == "__main__":
    run(main, recipe=str, fold=int)
