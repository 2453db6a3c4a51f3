"""What the ten labels are called."""

FASHION = (
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
DIGITS = tuple(f"digit {digit}" for digit in range(10))


def class_names(source: str) -> tuple[str, ...]:
    """The names of the ten labels for a value of the param `data.source`."""
    return DIGITS if source == "digits" else FASHION
