"""What the study reports: "Applying CNN architectures on the Fashion-MNIST dataset"."""

import numpy as np

from stages.catalog import BACKBONES
from stages.params import Data, Params

# What is measured, of a model that was trained once and of one that was trained in folds.
TRAINING = "last epoch, training"
VALIDATION = "last epoch, validation"
TEST = "test"
MEAN = "mean of the folds, test"
SPREAD = "standard deviation of the folds, test"
TOGETHER = "folds together, test"


def fold_test(fold: int) -> str:
    return f"fold {fold}, test"


# Accuracy and loss, by network and by what was measured.
RESULTS = {
    "lenet": {
        fold_test(1): (0.9164, 0.50633),
        fold_test(2): (0.9197, 0.52324),
        fold_test(3): (0.9222, 0.52211),
        fold_test(4): (0.9168, 0.52503),
        fold_test(5): (0.9146, 0.49211),
        MEAN: (0.91798, 0.51376),
    },
    "resnet": {
        TRAINING: (0.8254, 0.4583),
        VALIDATION: (0.8125, 0.5017),
        TEST: (0.8198, 0.48174),
    },
    "vgg": {
        TRAINING: (0.9838, 0.0473),
        VALIDATION: (0.8768, 0.8164),
        TEST: (0.8828, 0.7606),
    },
}
FOLDS = [RESULTS["lenet"][fold_test(fold)] for fold in range(1, 6)]
RESULTS["lenet"][SPREAD] = tuple(np.std(FOLDS, axis=0, ddof=1))

# The epoch from which the study sees each model overfit.
OVERFITS_FROM = {"lenet": 7, "resnet": "not seen to overfit", "vgg": 5}

# What the study counts in its training set, under the names of `metrics/clean.json`.
CLEANING = {
    "nulls": 0,
    "repeated_rows": 43,
    "dropped_rows": 60_000 - 59_914,
    "rows": 59_914,
    "repeated_rows_left": 0,
}
LABEL_COUNTS = (5996, 5992, 5976, 5994, 5990, 6000, 5978, 5992, 6000, 5996)

# What its tuner found.
HYPERPARAMETERS = {"units": 248, "learning_rate": 0.001}

CAVEAT = (
    "The study's 43 repeated training rows point to the data set's first release; today's files "
    "have none. Its numbers and ours are from nearly, not exactly, the same images."
)
FOOTNOTE = (
    "ResNet50 ends here after four of its five stages. Its images are 48x48 at the study's "
    "settings, because the study states no size; at 32x32 it had 73.5 %."
)


def published(network: str, measure: str) -> tuple[float, float]:
    """The study's accuracy and loss beside ours; not numbers where it has none.

    Beside a mean of folds stands the one training that it has.
    """
    scores = RESULTS.get(network, {})
    return scores.get(measure) or (measure == MEAN and scores.get(TEST)) or (np.nan, np.nan)


def is_its_data_set(data: Data) -> bool:
    """Whether the images are Fashion-MNIST's: other files come with names of their own."""
    return data.source in ("fashion_mnist", "sample") or (
        data.source == "csv" and data.classes is None
    )


def footnote(settings: Params) -> str:
    """What must stand wherever ResNet50's row at the study's settings does; "" if it is not so."""
    cut = settings.backbone["resnet50"].layer == "conv4_block6_out"
    as_run = cut and "study" in settings.resnet and settings.data.source == "fashion_mnist"
    return FOOTNOTE if as_run else ""


def notes(settings: Params) -> list[str]:
    """What a reader of the numbers must know about this run."""
    lines = []
    if settings.data.source == "fashion_mnist":
        lines.append(CAVEAT)
    elif settings.data.source == "sample":
        lines.append(
            "The images are a small sample of Fashion-MNIST, 2,000 for training and 500 for "
            "testing, where the study has 60,000 and 10,000."
        )
    elif is_its_data_set(settings.data):
        lines.append(
            "The images come from files that the params name: whether they are the study's is not "
            "known here."
        )
    weights = {BACKBONES[name].title: row.weights for name, row in settings.backbone.items()}
    if random := [title for title, kind in weights.items() if kind == "random"]:
        lines.append(
            f"The weights of {' and '.join(random)} are random here, not ImageNet's: their numbers "
            "show that everything runs, and nothing else."
        )
    return lines
