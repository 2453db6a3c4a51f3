"""LeNet-5 as it is saved: behind its own scaling, without what only training does."""

from stages.common.images import SIDE
from stages.common.keras_setup import keras
from stages.common.saving import without_optimizer

AUGMENTATION = {"flip", "shift", "erasing"}


def without_augmentation(model: keras.Sequential) -> keras.Sequential:
    """A copy of `model` without optimizer, and without the layers that only training needs."""
    kept = [layer for layer in model.layers if layer.name not in AUGMENTATION]
    return without_optimizer(
        keras.Sequential([keras.Input((SIDE, SIDE, 1), name="image"), *kept], name=model.name)
    )


def on_raw_images(network: keras.Sequential, mirrored: bool | None = None) -> keras.Model:
    """`network` for images as they are, (n, 28, 28), 0-255.

    Args:
        mirrored: answer with the mean of the probabilities of each image and its mirror image.
    """
    layers = keras.layers
    raw = keras.Input((SIDE, SIDE), name="raw_image")
    grey = layers.Reshape((SIDE, SIDE, 1), dtype="float32", name="grey_channel")(raw)
    image = layers.Rescaling(1 / 255, dtype="float32", name="to_unit_range")(grey)
    probabilities = network(image)
    if mirrored:
        both = [probabilities, network(image[:, :, ::-1])]
        probabilities = layers.Average(dtype="float32", name="both_sides")(both)
    return keras.Model(raw, probabilities, name=f"{network.name}_on_raw_images")


def on_encoded_images(model: keras.Model) -> keras.Model:
    """What `on_raw_images` made, from where its images are float (n, 28, 28, 1) in 0-1."""
    return keras.Model(model.get_layer("to_unit_range").output, model.output)
