"""LeNet-5 as it is saved: behind its own scaling, without what only training does."""

from stages.base.images import SIDE
from stages.training.keras_setup import keras
from stages.training.saving import without_optimizer

AUGMENTATION = {"flip", "shift", "erasing"}


def without_augmentation(model: keras.Sequential) -> keras.Sequential:
    """A copy of `model` without optimizer, and without the layers that only training needs."""
    kept = [layer for layer in model.layers if layer.name not in AUGMENTATION]
    return without_optimizer(
        keras.Sequential([keras.Input((SIDE, SIDE, 1), name="image"), *kept], name=model.name)
    )


def on_raw_images(
    network: keras.Sequential, mirrored: bool | None = None, shifted: int | None = None
) -> keras.Model:
    """`network` for images as they are, (n, 28, 28), 0-255.

    With either option it answers with the mean of the probabilities of several views of each image.

    Args:
        mirrored: each view's mirror image beside it.
        shifted: the image where it is, and moved by so many pixels up, down, left and right over a
            black ground.
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
        views += [view[:, :, ::-1] for view in views]
    probabilities = [network(view) for view in views]
    if len(views) == 1:
        return keras.Model(raw, probabilities[0], name=f"{network.name}_on_raw_images")
    mean = layers.Average(dtype="float32", name="mean_of_views")(probabilities)
    return keras.Model(raw, mean, name=f"{network.name}_on_raw_images")


def on_encoded_images(model: keras.Model) -> keras.Model:
    """What `on_raw_images` made, from where its images are float (n, 28, 28, 1) in 0-1."""
    return keras.Model(model.get_layer("to_unit_range").output, model.output)
