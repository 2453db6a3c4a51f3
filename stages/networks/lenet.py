"""The study's LeNet-5: two convolutions, two poolings, three dense layers."""

from stages.base.images import SIDE
from stages.training.keras_setup import keras


def build(
    units: int,
    classes: int,
    *,
    batch_normalization: bool | None = None,
    dropout: float | None = None,
    flip: bool | None = None,
    shift: int | None = None,
    erasing: float | None = None,
) -> keras.Sequential:
    """The network, not compiled; without options the study's, layer by layer.

    Args:
        units: width of the first dense layer.
        classes: number of classes.
        batch_normalization: after each pooling, before the ReLU (Ioffe and Szegedy 2015). After the
            pooling it has a quarter of the values to normalise.
        dropout: share of the inputs of each hidden dense layer that training sets to 0.
        flip: training mirrors half of the images, at random, left to right.
        shift: training shifts each image by up to so many pixels each way; the rest is black.
        erasing: share of the training images in which a rectangle of 2 to 33 % of the area is set
            to black (Zhong et al. 2020, Random Erasing Data Augmentation).

    Returns:
        A model from float (n, 28, 28, 1) in 0-1 to probabilities (n, classes). Keras applies the
        augmentation and the dropout in training only.
    """
    layers = keras.layers
    stack = [keras.Input((SIDE, SIDE, 1), name="image")]
    # Keras cannot erase in float16, so all augmentation is in full precision.
    if flip:
        stack.append(layers.RandomFlip("horizontal", dtype="float32", name="flip"))
    if shift:
        share = shift / SIDE
        stack.append(
            layers.RandomTranslation(
                share, share, fill_mode="constant", dtype="float32", name="shift"
            )
        )
    if erasing:
        # A single number would be the upper bound of a share drawn anew for every image.
        factor = (erasing, erasing)
        stack.append(
            layers.RandomErasing(
                factor, fill_value=0.0, value_range=(0, 1), dtype="float32", name="erasing"
            )
        )
    for number, (filters, padding) in enumerate(((32, "same"), (48, "valid")), start=1):
        convolution = {"filters": filters, "kernel_size": 5, "padding": padding}
        pooling = layers.MaxPooling2D(2, strides=2, name=f"pool_{number}")
        if batch_normalization:
            stack += [
                layers.Conv2D(**convolution, use_bias=False, name=f"conv_{number}"),
                pooling,
                layers.BatchNormalization(name=f"normalization_{number}"),
                layers.ReLU(name=f"relu_{number}"),
            ]
        else:
            stack += [
                layers.Conv2D(**convolution, activation="relu", name=f"conv_{number}"),
                pooling,
            ]
    stack.append(layers.Flatten(name="flatten"))
    for number, width in enumerate((units, 84), start=1):
        if dropout:
            stack.append(layers.Dropout(dropout, name=f"dropout_{number}"))
        stack.append(layers.Dense(width, activation="relu", name=f"dense_{number}"))
    # Probabilities in full precision, whatever the precision of the layers before them.
    stack.append(layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities"))
    return keras.Sequential(stack, name="lenet")
