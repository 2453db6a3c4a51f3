"""A head of dense layers on the features of a frozen backbone."""

from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import StandardScaler

from stages.params import HeadRecipe
from stages.training.keras_setup import keras

ROWS_AT_A_TIME = 4_000
WIDE = 1_024


def build_head(
    shape: tuple[int, ...],
    classes: int,
    recipe: HeadRecipe,
    name: str,
    statistics: tuple[np.ndarray, np.ndarray] | None = None,
) -> keras.Sequential:
    """`dense_layers` dense layers of `dense_units` with ReLU, then softmax; not compiled.

    Args:
        shape: of one image's features, which are flattened.
        classes: number of classes.
        recipe: training sets the share `input_dropout` of the features to 0, and the share
            `dropout` of the output of each hidden layer.
        name: of the model.
        statistics: mean and variance of each flattened feature, to standardise it by.
    """
    layers = keras.layers
    stack = [
        keras.Input(shape, dtype="float32", name="features"),
        layers.Flatten(dtype="float32", name="flatten"),
    ]
    if statistics:
        mean, variance = statistics
        stack.append(
            layers.Normalization(
                axis=-1, mean=mean, variance=variance, dtype="float32", name="standardised"
            )
        )
    if recipe.input_dropout:
        stack.append(layers.Dropout(recipe.input_dropout, name="input_dropout"))
    for number in range(1, recipe.dense_layers + 1):
        stack.append(layers.Dense(recipe.dense_units, activation="relu", name=f"dense_{number}"))
        if recipe.dropout:
            stack.append(layers.Dropout(recipe.dropout, name=f"dropout_{number}"))
    # Probabilities in full precision, whatever the precision of the layers before them.
    stack.append(layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities"))
    return keras.Sequential(stack, name=name)


def uses_xla(recipe: HeadRecipe) -> bool | str:
    """Whether to compile the head with XLA, as Keras's `jit_compile` has it.

    XLA speeds up wide dense layers, and Keras does not use it on a CPU unless asked. It refuses it
    once deterministic operations are on, because not every operation is both; all of these are, so
    long as the model is compiled first, which only the first of several folds is. With dropout a
    step took 43 ms in place of 6 (512 units on 1,536 features, two cores).
    """
    on_tensorflow = keras.config.backend() == "tensorflow"
    others = recipe.dropout or recipe.input_dropout or recipe.cross_validated
    wide = recipe.dense_units >= WIDE and not others
    return True if on_tensorflow and wide else "auto"


def mean_and_variance(
    arrays: Sequence[np.ndarray], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each flattened feature over `rows` of all arrays, a part at a time; float32 (d,) each."""
    scaler = StandardScaler()
    for array in arrays:
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            part = array[rows[start : start + ROWS_AT_A_TIME]]
            scaler.partial_fit(part.reshape(len(part), -1).astype(np.float32))
    # `scale_` is 1 where all rows have the same value; to divide by a variance of 0 would not do.
    return scaler.mean_.astype(np.float32), (scaler.scale_**2).astype(np.float32)


def with_backbone(
    extractor: keras.Model, heads: Sequence[keras.Sequential], mirrored: bool | None
) -> keras.Model:
    """The backbone and its heads in one, from raw images (n, 28, 28), 0-255, to (n, classes).

    The output is the mean of the probabilities of all heads.

    Args:
        mirrored: and over each image and its mirror image.
    """
    raw = extractor.input
    features = [extractor.output]
    if mirrored:
        features.append(extractor(keras.ops.flip(raw, axis=2)))
    probabilities = [head(view) for view in features for head in heads]
    output = probabilities[0]
    if len(probabilities) > 1:
        output = keras.layers.Average(dtype="float32", name="mean")(probabilities)
    return keras.Model(raw, output, name=f"{extractor.name}_classifier")
