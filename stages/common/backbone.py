"""ResNet50 and VGG16 without their tops, cut off after a layer, and the tensors in them."""

from pathlib import Path

from stages.common.command import InputError
from stages.common.files import load_arrays
from stages.common.images import SIDE
from stages.common.keras_setup import keras
from stages.common.params import FeaturesRecipe

APPLICATIONS = {
    "resnet50": (keras.applications.ResNet50, keras.applications.resnet50.preprocess_input),
    "vgg16": (keras.applications.VGG16, keras.applications.vgg16.preprocess_input),
}
SMALLEST_INPUT = 32


def build(name: str, layer: str, input_size: int = SMALLEST_INPUT) -> keras.Model:
    """The network with random weights, from (n, size, size, 3) to the output of `layer`.

    Raises:
        InputError: no such layer.
    """
    application, _ = APPLICATIONS[name]
    whole = application(
        weights=None, include_top=False, input_shape=(input_size, input_size, 3), name=name
    )
    names = [known.name for known in whole.layers]
    if layer not in names:
        raise InputError(
            f"params.yaml: backbone.{name}.layer is {layer!r}, which {name} does not have; "
            f"its last layers are {', '.join(names[-8:])}"
        )
    network = keras.Model(whole.input, whole.get_layer(layer).output, name=name)
    network.trainable = False
    return network


def variables(network: keras.Model) -> dict[str, keras.Variable]:
    """Every tensor of the network by its name, `layer/variable`."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in network.layers
        for variable in layer.weights
    }


def feature_extractor(name: str, layer: str, recipe: FeaturesRecipe, tensors: Path) -> keras.Model:
    """What turns raw images (n, 28, 28), 0-255, into the frozen network's features.

    Grey is repeated in three channels and resized bilinearly. `preprocessing` is `unit` (0-1, the
    study's) or `imagenet` (what the weights were trained with: Keras's `preprocess_input`, which
    turns RGB to BGR and subtracts ImageNet's mean). `pooling` is `none`, which leaves (n, h, w, c),
    or `avg`, which leaves (n, c).

    Args:
        tensors: what the stage `weights` wrote for this backbone and layer.
    """
    network = build(name, layer, recipe.input_size)
    values = load_arrays(tensors)
    for key, variable in variables(network).items():
        variable.assign(values[key])

    layers = keras.layers
    raw = keras.Input((SIDE, SIDE), name="raw_image")
    grey = layers.Reshape((SIDE, SIDE, 1), name="grey_channel")(raw)
    colour = layers.Concatenate(name="three_channels")([grey, grey, grey])
    image = layers.Resizing(recipe.input_size, recipe.input_size, name="resized")(colour)
    if recipe.preprocessing == "unit":
        image = layers.Rescaling(1 / 255, name="to_unit_range")(image)
    else:
        image = APPLICATIONS[name][1](image)
    features = network(image, training=False)
    if recipe.pooling == "avg":
        features = layers.GlobalAveragePooling2D(name="average")(features)
    return keras.Model(raw, features, name=f"{name}_features")
