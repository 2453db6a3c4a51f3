"""LeNet-5 as it is saved: with its own scaling, without the layers that only training needs."""

from stages.base.images import SIDE
from stages.training.keras_setup import keras
from stages.training.saving import without_optimizer

AUGMENTATION = {"flip", "shift", "erasing"}


def without_augmentation(model: keras.Sequential) -> keras.Sequential:
    """A copy of `model` without optimizer and without augmentation layers."""
    kept = [layer for layer in model.layers if layer.name not in AUGMENTATION]
    return without_optimizer(
        keras.Sequential([keras.Input((SIDE, SIDE, 1), name="image"), *kept], name=model.name)
    )


def on_raw_images(
    network: keras.Sequential, mirrored: bool | None = None, shifted: int | None = None
) -> keras.Model:
    """`network` for raw images (n, 28, 28), 0-255.

    With either option its output is the mean of the probabilities of several views of each image.

    Args:
        mirrored: add the mirror image of each view.
        shifted: add the image shifted by so many pixels up, down, left and right; the rest is
            black.
    """
    layers = keras.layers
    raw = keras.Input((SIDE, SIDE), name="raw_image")
    grey = layers.Reshape((SIDE, SIDE, 1), dtype="float32", name="grey_channel")(raw)
    views = [layers.Rescaling(1 / 255, dtype="float32", name="to_unit_range")(grey)]
    if shifted:
        wide = layers.ZeroPadding2D(shifted, dtype="float32", name="black_ground")(views[0])
        far, middle = 2 * shifted, (shifted, shifted)
        for name, *cut in (
            ("up", (far, 0), middle),
            ("down", (0, far), middle),
            ("left", middle, (far, 0)),
            ("right", middle, (0, far)),
        ):
            views.append(layers.Cropping2D(tuple(cut), dtype="float32", name=name)(wide))
    if mirrored:
        views += [keras.ops.flip(view, axis=2) for view in views]
    probabilities = [network(view) for view in views]
    if len(views) == 1:
        return keras.Model(raw, probabilities[0], name=f"{network.name}_on_raw_images")
    mean = layers.Average(dtype="float32", name="mean_of_views")(probabilities)
    return keras.Model(raw, mean, name=f"{network.name}_on_raw_images")


def on_encoded_images(model: keras.Model) -> keras.Model:
    """A model of `on_raw_images`, from its images as float (n, 28, 28, 1) in 0-1 on."""
    return keras.Model(model.get_layer("to_unit_range").output, model.output)
