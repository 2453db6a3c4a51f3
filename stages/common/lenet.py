"""The study's LeNet-5: two convolutions, two poolings, three dense layers."""

from stages.common.images import CLASSES, SIDE
from stages.common.keras_setup import keras
from stages.common.models import without_optimizer


def build(units: int, learning_rate: float) -> keras.Model:
    """The network, compiled as in the study.

    Args:
        units: width of the first dense layer.
        learning_rate: Adam's.

    Returns:
        A model from float (n, 28, 28, 1) in 0-1 to probabilities (n, 10).
    """
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1), name="image"),
            layers.Conv2D(32, 5, padding="same", activation="relu", name="conv_1"),
            layers.MaxPooling2D(2, strides=2, name="pool_1"),
            layers.Conv2D(48, 5, padding="valid", activation="relu", name="conv_2"),
            layers.MaxPooling2D(2, strides=2, name="pool_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(units, activation="relu", name="dense_1"),
            layers.Dense(84, activation="relu", name="dense_2"),
            layers.Dense(CLASSES, activation="softmax", name="probabilities"),
        ],
        name="lenet",
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def with_raw_images(model: keras.Model) -> keras.Model:
    """A copy of `model` behind its own scaling: takes images as they are, (n, 28, 28), 0-255."""
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE), name="raw_image"),
            keras.layers.Reshape((SIDE, SIDE, 1), name="grey_channel"),
            keras.layers.Rescaling(1 / 255, name="to_unit_range"),
            without_optimizer(model),
        ],
        name=f"{model.name}_on_raw_images",
    )
