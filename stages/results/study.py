"""What the study reports: "Applying CNN architectures on the Fashion-MNIST dataset"."""

from typing import NamedTuple

from stages.params import BACKBONE_OF, Data, Params


class Score(NamedTuple):
    loss: float
    accuracy: float


# By model, then by what was measured.
RESULTS = {
    "lenet": {
        "fold 1, test": Score(0.50633, 0.9164),
        "fold 2, test": Score(0.52324, 0.9197),
        "fold 3, test": Score(0.52211, 0.9222),
        "fold 4, test": Score(0.52503, 0.9168),
        "fold 5, test": Score(0.49211, 0.9146),
        "mean of the folds, test": Score(0.51376, 0.91798),
    },
    "resnet": {
        "last epoch, training": Score(0.4583, 0.8254),
        "last epoch, validation": Score(0.5017, 0.8125),
        "test": Score(0.48174, 0.8198),
    },
    "vgg": {
        "last epoch, training": Score(0.0473, 0.9838),
        "last epoch, validation": Score(0.8164, 0.8768),
        "test": Score(0.7606, 0.8828),
    },
}

# The epoch from which the study sees each model overfit; ResNet50 not at all.
OVERFITS_FROM = {"lenet": 7, "resnet": None, "vgg": 5}

# What the study counts in its training set, under the names of `metrics/clean.json`.
CLEANING = {
    "nulls": 0,
    "repeated_rows": 43,
    "dropped_rows": 60_000 - 59_914,
    "rows": 59_914,
    "repeated_rows_left": 0,
}

# What its tuner found.
HYPERPARAMETERS = {"units": 248, "learning_rate": 0.001}

CAVEAT = (
    "The study read the data set's first release, which had 43 repeated training rows; its makers "
    "replaced it on 31 August 2017 and today's official files have none. So the numbers that stand "
    "side by side were measured on nearly, not exactly, the same images."
)


HEADS = {"resnet": "ResNet50", "vgg": "VGG16"}


def is_its_data_set(data: Data) -> bool:
    """Whether the images are Fashion-MNIST's: of other files, names of one's own say otherwise."""
    return data.source in ("fashion_mnist", "sample") or data.classes is None


def random_networks(settings: Params) -> list[str]:
    """The networks whose backbone has random weights, by the section of their head."""
    return [
        head
        for head, backbone in BACKBONE_OF.items()
        if settings.backbone[backbone].weights == "random"
    ]


def notes(settings: Params) -> list[str]:
    """What a reader of the numbers must know about this run."""
    lines = []
    if settings.data.source == "fashion_mnist":
        lines.append(CAVEAT)
    elif settings.data.source == "sample":
        lines.append(
            "The images are a small sample of Fashion-MNIST, 2,000 to train with and 500 to test, "
            "where the study has 60,000 and 10,000."
        )
    elif is_its_data_set(settings.data):
        lines.append(
            "The images come from files that the params name: whether they are the study's is not "
            "known here."
        )
    if random := [HEADS[head] for head in random_networks(settings)]:
        lines.append(
            f"The weights of {' and '.join(random)} are random here, not ImageNet's: their numbers "
            "show that everything runs, and nothing else."
        )
    return lines
