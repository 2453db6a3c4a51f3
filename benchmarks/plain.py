"""The demo's trainings in one plain script: no stages, no cache, nothing kept but what it prints.

The same sample, networks, epochs and batches; Keras's defaults. Of figures, models, report and
resuming it has nothing.
"""

import keras
import keras_tuner
import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

SEED, SIDE = 0, 32


def lenet(units: int, learning_rate: float) -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(48, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(units, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return compiled(model, learning_rate)


def compiled(model: keras.Model, learning_rate: float = 0.001) -> keras.Model:
    optimizer = keras.optimizers.Adam(learning_rate)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return model


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    units = hp.Int("units", 32, 256, step=8)
    return lenet(units, hp.Choice("learning_rate", [0.001, 0.0001]))


def head_on(frozen: keras.Model, images: dict, labels: dict, widths: list[int]) -> float:
    features = {}
    for split, pixels in images.items():
        resized = keras.ops.image.resize(np.repeat(pixels, 3, axis=-1), (SIDE, SIDE))
        features[split] = frozen.predict(resized, verbose=0)
    hidden = [keras.layers.Dense(width, activation="relu") for width in widths]
    stack = [keras.layers.Flatten(), *hidden, keras.layers.Dense(10, activation="softmax")]
    model = compiled(keras.Sequential(stack))
    model.fit(
        features["train"],
        labels["train"],
        batch_size=64,
        epochs=2,
        validation_split=0.2,
        verbose=0,
    )
    return model.evaluate(features["test"], labels["test"], verbose=0)[1]


def main(folder: str) -> None:
    keras.utils.set_random_seed(SEED)
    with np.load("data/sample/fashion_mnist.npz") as arrays:
        raw = dict(arrays)
    rows = np.column_stack([raw["train_labels"], raw["train_images"].reshape(-1, 784)])
    kept = ~pd.Series([row.tobytes() for row in rows]).duplicated(keep=False).to_numpy()
    raw["train_images"], raw["train_labels"] = raw["train_images"][kept], raw["train_labels"][kept]
    splits = ("train", "test")
    images = {name: raw[f"{name}_images"][..., None] / np.float32(255) for name in splits}
    labels = {name: keras.utils.to_categorical(raw[f"{name}_labels"], 10) for name in splits}
    x, y = images["train"], labels["train"]

    tuner = keras_tuner.Hyperband(
        build,
        objective="val_accuracy",
        max_epochs=2,
        factor=2,
        hyperband_iterations=1,
        seed=SEED + 1,
        directory=folder,
    )
    tuner.search(x, y, epochs=2, batch_size=32, validation_split=0.2, verbose=0)
    best = tuner.get_best_hyperparameters()[0].values

    for training, validation in KFold(2, shuffle=True, random_state=SEED).split(x):
        model = lenet(best["units"], best["learning_rate"])
        model.fit(
            x[training],
            y[training],
            validation_data=(x[validation], y[validation]),
            batch_size=16,
            epochs=12,
            verbose=0,
        )
        print("LeNet-5", model.evaluate(images["test"], labels["test"], verbose=0)[1])

    options = {"weights": None, "include_top": False, "input_shape": (SIDE, SIDE, 3)}
    whole = keras.applications.ResNet50(**options)
    pooled = keras.layers.GlobalAveragePooling2D()(whole.get_layer("conv2_block3_out").output)
    print("ResNet50", head_on(keras.Model(whole.input, pooled), images, labels, [128]))
    whole = keras.applications.VGG16(**options)
    frozen = keras.Model(whole.input, whole.get_layer("block3_pool").output)
    print("VGG16", head_on(frozen, images, labels, [256, 256]))


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        main(folder)
