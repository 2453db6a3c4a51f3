"""Frozen backbones, from raw images to the outputs of their layers, and the tensors in them."""

from functools import partial
from pathlib import Path

import numpy as np

from stages.base.files import load_arrays
from stages.base.images import SIDE
from stages.catalog import BACKBONES
from stages.cli import InputError
from stages.params import FeaturesRecipe
from stages.training.keras_setup import keras

SMALLEST_INPUT = 32


def build(name: str, outputs: list[str], input_size: int = SMALLEST_INPUT) -> keras.Model:
    """The network with random weights, from (n, size, size, 3) to the outputs of layers.

    Args:
        name: of the backbone.
        outputs: the names of the layers.
        input_size: side of its images, in pixels.

    Raises:
        InputError: no such layer.
    """
    application = getattr(keras.applications, BACKBONES[name].application)
    whole = application(
        weights=None, include_top=False, input_shape=(input_size, input_size, 3), name=name
    )
    names = [known.name for known in whole.layers]
    for layer in outputs:
        if layer not in names:
            raise InputError(
                f"params.yaml: {name} has no layer {layer!r}; its last layers are "
                f"{', '.join(names[-8:])}. Correct backbone.{name}.layer, or `layers` in the "
                "recipe of its features"
            )
    network = keras.Model(
        whole.input, [whole.get_layer(layer).output for layer in outputs], name=name
    )
    network.trainable = False
    return network


def variables(network: keras.Model) -> dict[str, keras.Variable]:
    """Every tensor of the network by its name, `layer/variable`."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in network.layers
        for variable in layer.weights
    }


def fold_normalization(network: keras.Model) -> keras.Model:
    """The same function up to rounding, with batch normalisation folded into convolutions.

    A frozen batch normalisation scales and shifts each channel, which the kernel and the bias of
    the convolution before it can do: ResNet50 at 96x96 in bfloat16 gave 299 images a second in
    place of 181 (medians of six turns, two cores of an AMD EPYC Zen 4).
    """
    weights = {layer.name: layer.get_weights() for layer in network.layers if layer.weights}
    folded = set()
    for layer in network.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        source = layer.input._keras_history.operation
        if not (type(source) is keras.layers.Conv2D and source.use_bias):
            continue
        if any(layer.input is output for output in network.outputs):
            continue  # the recipe of the features asks for the convolution's own output too
        gamma, beta, mean, variance = weights.pop(layer.name)
        kernel, bias = weights[source.name]
        scale = gamma / np.sqrt(variance + layer.epsilon)
        weights[source.name] = [kernel * scale, (bias - mean) * scale + beta]
        folded.add(layer.name)

    def call(layer: keras.Layer, *inputs: object, **arguments: object) -> object:
        return inputs[0] if layer.name in folded else layer(*inputs, **arguments)

    # With a name of its own: Keras would number it by all tensors that were made before it.
    image = keras.Input(network.input.shape[1:], name="image")
    copy = keras.models.clone_model(network, input_tensors=image, call_function=call)
    for name, values in weights.items():
        copy.get_layer(name).set_weights(values)
    copy.trainable = False
    return copy


def preprocessed(recipe: FeaturesRecipe, colour: keras.KerasTensor) -> keras.KerasTensor:
    """Colour images (n, size, size, 3), 0-255, as the recipe's `preprocessing` has them.

    `unit` scales to 0-1, as in the study; `imagenet` is the preprocessing that the weights were
    trained with, Keras's `preprocess_input`.
    """
    if recipe.preprocessing == "unit":
        rescaling = keras.layers.Rescaling(1 / 255, dtype="float32", name="to_unit_range")
        return rescaling(colour)
    return getattr(keras.applications, BACKBONES[recipe.backbone].module).preprocess_input(colour)


def pooled(
    recipe: FeaturesRecipe, outputs: keras.KerasTensor | list[keras.KerasTensor]
) -> keras.KerasTensor:
    """The outputs of the layers as one float32 tensor of features.

    `pooling` is `none`, which leaves (n, h, w, c), `avg_2x2`, which halves h and w, or `avg`, which
    leaves (n, c). The outputs of several layers are each pooled, flattened and concatenated to
    (n, d).
    """
    layers = keras.layers
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    pooling = {
        "avg": layers.GlobalAveragePooling2D,
        "avg_2x2": partial(layers.AveragePooling2D, 2),
    }
    if recipe.pooling != "none":
        outputs = [
            pooling[recipe.pooling](dtype="float32", name=f"average_{number}")(output)
            for number, output in enumerate(outputs, start=1)
        ]
    if len(outputs) > 1:
        flat = [
            layers.Flatten(name=f"flat_{number}")(output)
            for number, output in enumerate(outputs, start=1)
        ]
        features = layers.Concatenate(name="features")(flat)
    else:
        (features,) = outputs
    if features.dtype != "float32":
        features = layers.Identity(dtype="float32", name="in_full_precision")(features)
    return features


def feature_extractor(layer: str, recipe: FeaturesRecipe, tensors: Path) -> keras.Model:
    """A model from raw images (n, 28, 28), 0-255, to the frozen network's features, float32.

    Grey is repeated in three channels and resized bilinearly; then `preprocessed`, the network, in
    the recipe's `precision` (one of Keras's dtype policies), and `pooled`.

    Args:
        layer: the backbone's last layer, whose output is taken unless the recipe names `layers`.
        tensors: the output of the stage `weights` for this backbone and layer.

    Raises:
        InputError: the network has no such layer, or the tensors do not reach it.
    """
    name, size = recipe.backbone, recipe.input_size
    keras.config.set_dtype_policy(recipe.precision or "float32")
    network = build(name, recipe.layers or [layer], size)
    values = load_arrays(tensors)
    for key, variable in variables(network).items():
        if key not in values:
            raise InputError(
                f"{tensors} ends before {key}: `layers` in the recipe of the features must not go "
                f"beyond backbone.{name}.layer ({layer}) in params.yaml"
            )
        variable.assign(values[key])
    network = fold_normalization(network)

    layers = keras.layers
    raw = keras.Input((SIDE, SIDE), name="raw_image")
    grey = layers.Reshape((SIDE, SIDE, 1), dtype="float32", name="grey_channel")(raw)
    colour = layers.Concatenate(dtype="float32", name="three_channels")([grey, grey, grey])
    image = layers.Resizing(size, size, dtype="float32", name="resized")(colour)
    features = pooled(recipe, network(preprocessed(recipe, image), training=False))
    keras.config.set_dtype_policy("float32")
    return keras.Model(raw, features, name=f"{name}_features")
