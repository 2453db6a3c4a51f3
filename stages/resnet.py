"""Train a head on frozen ResNet50's features, and evaluate it on the test set.

Reads `data/features/resnet50-RECIPE/`, the labels of `data/encoded/`, and, to put the whole
network together, `models/pretrained/resnet50.npz`. Writes for RECIPE `models/resnet/RECIPE.keras`,
the whole network, which takes raw images, and `metrics/resnet/RECIPE` .json (numbers), .csv
(curves) and .npz (test-set probabilities).
"""

from stages.common import transfer
from stages.common.command import run


def main(recipe: str) -> None:
    results = transfer.train_and_save("resnet", "resnet50", recipe)
    print(f"resnet@{recipe}: {results.summary()}")


if __name__ == "__main__":
    run(main, recipe=str)
