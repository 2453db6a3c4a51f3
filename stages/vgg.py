"""Train a head on frozen VGG16's features, and evaluate it on the test set.

Reads `data/features/vgg16-RECIPE/`, the labels of `data/encoded/`, and, to put the whole
network together, `models/pretrained/vgg16.npz`. Writes for RECIPE `models/vgg/RECIPE.keras`,
the whole network, which takes raw images, and `metrics/vgg/RECIPE` .json (numbers), .csv
(curves) and .npz (test-set probabilities).
"""

from stages.common import transfer
from stages.common.command import run


def main(recipe: str) -> None:
    results = transfer.train_and_save("vgg", "vgg16", recipe)
    print(f"vgg@{recipe}: {results.summary()}")


if __name__ == "__main__":
    run(main, recipe=str)
