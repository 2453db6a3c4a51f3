"""ResNet50 and VGG16 without their tops, cut off after a layer, and the tensors in them."""

from functools import partial
from pathlib import Path

from stages.base.files import load_arrays
from stages.base.images import SIDE
from stages.cli import InputError
from stages.params import FeaturesRecipe
from stages.training.keras_setup import keras

APPLICATIONS = {
    "resnet50": (keras.applications.ResNet50, keras.applications.resnet50.preprocess_input),
    "vgg16": (keras.applications.VGG16, keras.applications.vgg16.preprocess_input),
}
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
    application, _ = APPLICATIONS[name]
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


def feature_extractor(layer: str, recipe: FeaturesRecipe, tensors: Path) -> keras.Model:
    """What turns raw images (n, 28, 28), 0-255, into the frozen network's features.

    Grey is repeated in three channels and resized bilinearly. `preprocessing` is `unit` (0-1, the
    study's) or `imagenet` (what the weights were trained with: Keras's `preprocess_input`, which
    turns RGB to BGR and subtracts ImageNet's mean). `pooling` is `none`, which leaves (n, h, w, c),
    `avg_2x2` or `avg_4x4`, which divide h and w by 2 or 4, or `avg`, which leaves (n, c). Several
    `layers` give one vector (n, d), each pooled and flattened, one after another. `precision` is
    one of Keras's dtype policies.

    Args:
        layer: the backbone's last layer, whose output is taken where the recipe names no `layers`.
        tensors: what the stage `weights` wrote for this backbone and layer.

    Raises:
        InputError: the network has no such layer, or the tensors do not reach it.
    """
    name = recipe.backbone
    keras.config.set_dtype_policy(recipe.precision or "float32")
    network = build(name, recipe.layers or [layer], recipe.input_size)
    values = load_arrays(tensors)
    for key, variable in variables(network).items():
        if key not in values:
            raise InputError(
                f"{tensors} ends before {key}: `layers` in the recipe of the features must not go "
                f"beyond backbone.{name}.layer ({layer}) in params.yaml"
            )
        variable.assign(values[key])

    layers = keras.layers
    raw = keras.Input((SIDE, SIDE), name="raw_image")
    grey = layers.Reshape((SIDE, SIDE, 1), dtype="float32", name="grey_channel")(raw)
    colour = layers.Concatenate(dtype="float32", name="three_channels")([grey, grey, grey])
    size = recipe.input_size
    image = layers.Resizing(size, size, dtype="float32", name="resized")(colour)
    if recipe.preprocessing == "unit":
        image = layers.Rescaling(1 / 255, dtype="float32", name="to_unit_range")(image)
    else:
        image = APPLICATIONS[name][1](image)
    found = network(image, training=False)
    found = found if isinstance(found, list | tuple) else [found]
    pooling = {
        "avg": layers.GlobalAveragePooling2D,
        "avg_2x2": partial(layers.AveragePooling2D, 2),
        "avg_4x4": partial(layers.AveragePooling2D, 4),
    }
    if recipe.pooling != "none":
        found = [
            pooling[recipe.pooling](dtype="float32", name=f"average_{number}")(output)
            for number, output in enumerate(found, start=1)
        ]
    if len(found) > 1:
        flat = [
            layers.Flatten(name=f"flat_{number}")(output)
            for number, output in enumerate(found, start=1)
        ]
        features = layers.Concatenate(name="features")(flat)
    else:
        (features,) = found
    if features.dtype != "float32":
        features = layers.Identity(dtype="float32", name="in_full_precision")(features)
    keras.config.set_dtype_policy("float32")
    return keras.Model(raw, features, name=f"{name}_features")
