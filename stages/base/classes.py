"""What the ten labels are called."""

from stages.params import Data

FASHION_MNIST = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def class_names(data: Data) -> tuple[str, ...]:
    """The names of labels 0 to 9: those that the params give, or else Fashion-MNIST's."""
    return tuple(data.classes or FASHION_MNIST)
