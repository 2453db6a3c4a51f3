"""Train a head on frozen ResNet50's features.

Reads the training features that the recipe names, the labels of `data/encoded/train/`, and, to put
the whole network together, the backbone's tensors in `models/pretrained/`. Writes for RECIPE
`models/resnet/RECIPE/`; `stages/common/training.py` says what is in it.
"""

from stages.cli import run
from stages.common import transfer


def main(recipe: str) -> None:
    print(transfer.train_head("resnet", recipe))


if __name__ == "__main__":
    run(main, recipe=str)
