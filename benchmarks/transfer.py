"""The study's transfer half: features once, against the frozen network in every epoch.

Measured on a few hundred images, and extrapolated to what the study trains with (60,000 images, of
which 12,000 validate, 30 epochs). With rates in images a second the pipeline takes

    60000 / features + 30 * (48000 / head trained + 12000 / head evaluated)

seconds, and a training through the frozen network, as the study has it,

    30 * (48000 / whole network trained + 12000 / whole network evaluated).
"""

from benchmarks import features, heads
from benchmarks.rounds import ONEDNN_ON, Pass, Rival, Work

SIDE = 48
EPOCHS, TRAINING, VALIDATION = 30, 48_000, 12_000
FEATURES = "features, by this pipeline"
HEAD, VALIDATED = "head trained, by this pipeline", "head evaluated, by this pipeline"
TRAINED, EVALUATED = "whole network trained", "whole network evaluated"
TIMES_AS_FAST, TRANSFER = "times as fast", "the network in every epoch, extrapolated"
BACKBONES = {"resnet": "resnet50", "vgg": "vgg16"}


def whole_network(name: str, trains: bool) -> Pass:
    """Keras's defaults, the backbone frozen."""
    import keras

    layers = keras.layers
    x = features.resized(SIDE)
    y = heads.features_and_labels(name)[1][: len(x)]
    frozen = features.keras_network(BACKBONES[name], SIDE)
    frozen.trainable = False
    model = keras.Sequential(
        [
            *(keras.Input((SIDE, SIDE, 3)), frozen, layers.Flatten()),
            *(layers.Dense(width, activation="relu") for width in heads.widths(name)),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    if trains:
        return len(x), lambda: model.fit(x, y, batch_size=heads.BATCH, verbose=0)
    return len(x), lambda: model.evaluate(x, y, batch_size=heads.BATCH, verbose=0)


def extrapolate(rates: dict[str, float]) -> dict[str, float]:
    once = (TRAINING + VALIDATION) / rates[FEATURES]
    ours = once + EPOCHS * (TRAINING / rates[HEAD] + VALIDATION / rates[VALIDATED])
    theirs = EPOCHS * (TRAINING / rates[TRAINED] + VALIDATION / rates[EVALUATED])
    return {
        "minutes, features once": ours / 60,
        "of these, for the features": once / 60,
        "minutes, the network in every epoch": theirs / 60,
        TIMES_AS_FAST: theirs / ours,
    }


def work(name: str, title: str) -> Work:
    return Work(
        title=title,
        rivals={
            FEATURES: Rival(features.pipeline, (BACKBONES[name], SIDE, "float32")),
            HEAD: Rival(heads.pipeline, (name,)),
            VALIDATED: Rival(heads.pipeline, (name, False)),
            TRAINED: Rival(whole_network, (name, True), ONEDNN_ON),
            EVALUATED: Rival(whole_network, (name, False), ONEDNN_ON),
        },
        derive=extrapolate,
        short=name == "resnet",
    )


WORKS = {
    "resnet-transfer": work("resnet", "ResNet50's half of the study"),
    "vgg-transfer": work("vgg", "VGG16's half of the study"),
}
