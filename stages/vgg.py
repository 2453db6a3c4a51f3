"""Train a head on frozen VGG16's features.

Reads the training features that the recipe names, the labels of `data/encoded/train/`, and, to put
the whole network together, the backbone's tensors in `models/pretrained/`. Writes for RECIPE
`models/vgg/RECIPE/`; `stages/training/fitting.py` says what is in it.
"""

from stages.cli import run
from stages.networks import heads


def main(recipe: str) -> None:
    print(heads.train_head("vgg", recipe))


if __name__ == "__main__":
    run(main, recipe=str)
