"""A head of dense layers on the cached features of a frozen backbone."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.preprocessing import StandardScaler

from stages import params
from stages.base.files import atomic_folder, load_array
from stages.base.images import CLASSES
from stages.cli import InputError
from stages.networks import backbone, views
from stages.params import HeadRecipe
from stages.training import fitting, resume
from stages.training.keras_setup import keras, seed_everything
from stages.training.saving import save_model, without_optimizer

LABELS = Path("data/encoded/train/labels.npy")
ROWS_AT_A_TIME = 4_000


def build_head(
    shape: tuple[int, ...],
    recipe: HeadRecipe,
    name: str,
    statistics: tuple[np.ndarray, np.ndarray] | None = None,
) -> keras.Sequential:
    """Flatten, `dense_layers` times `dense_units` with ReLU, ten with softmax; not compiled.

    Args:
        shape: of one image's features.
        recipe: training sets `input_dropout` of the features to 0, and `dropout` of what each
            hidden dense layer gives.
        name: of the model.
        statistics: mean and variance of each flattened feature; with them they are standardised.
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
    # Probabilities in full precision, whatever the layers before them compute in.
    stack.append(layers.Dense(CLASSES, activation="softmax", dtype="float32", name="probabilities"))
    return keras.Sequential(stack, name=name)


def fuses(recipe: HeadRecipe) -> bool | str:
    """Whether to compile the head with XLA, as Keras's `jit_compile` has it.

    It is worth most in wide dense layers, and Keras does not use it on a CPU unless told so. It
    declines it once deterministic operations are on, for not every operation is both. These are, so
    long as the model is compiled first. With dropout a step took 43 ms in place of 6 (512 units on
    1,536 features, two cores): then XLA is left out.
    """
    on_tensorflow = keras.config.backend() == "tensorflow"
    return True if on_tensorflow and not (recipe.dropout or recipe.input_dropout) else "auto"


def mean_and_variance(
    arrays: Sequence[np.ndarray], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each flattened feature over `rows` of all arrays, a part at a time; float32 (d,) each."""
    scaler = StandardScaler()
    for array in arrays:
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            part = array[rows[start : start + ROWS_AT_A_TIME]]
            scaler.partial_fit(part.reshape(len(part), -1).astype(np.float32))
    # `scale_` is 1 where all rows have the same value, which a variance of 0 would blow up.
    return scaler.mean_.astype(np.float32), (scaler.scale_**2).astype(np.float32)


def with_backbone(
    extractor: keras.Model, head: keras.Sequential, mirrored: bool | None
) -> keras.Model:
    """Backbone and head in one, from raw images (n, 28, 28), 0-255, to probabilities (n, 10).

    Args:
        mirrored: answer with the mean of the probabilities of each image and its mirror image.
    """
    raw = extractor.input
    probabilities = head(extractor.output)
    if mirrored:
        both = [probabilities, head(extractor(raw[:, :, ::-1]))]
        probabilities = keras.layers.Average(dtype="float32", name="both_sides")(both)
    return keras.Model(raw, probabilities, name=f"{head.name}_on_raw_images")


def train_head(name: str, recipe_name: str) -> str:
    """Train the head `name` on cached features, and write the folder `models/NAME/RECIPE_NAME/`.

    `stages/training/fitting.py` says what is in it. The last `validation_split` of the training
    images validate it.

    Args:
        name: of the params section with the head's recipes, and of the folder written to.
        recipe_name: the key in it.

    Returns:
        What came out, in a sentence.
    """
    settings = params.load()
    recipe = params.recipe(getattr(settings, name), recipe_name, name)
    features = params.recipe(settings.features, recipe.features, "features")
    layer = settings.backbone[features.backbone].layer
    pretrained = Path(f"models/pretrained/{features.backbone}.npz")

    arrays, y = views.load(recipe.features, "train"), load_array(LABELS)
    training_images = int(len(y) * (1 - recipe.validation_split))
    training_rows, validation_rows = np.split(np.arange(len(y)), [training_images])
    if not (len(training_rows) and len(validation_rows)):
        raise InputError(
            f"params.yaml: {name}.{recipe_name}.validation_split is {recipe.validation_split}, "
            f"which leaves {len(training_rows)} of {len(y)} images to train with and "
            f"{len(validation_rows)} to validate; both are needed"
        )

    stage = f"{name}@{recipe_name}"
    identity = {"recipe": recipe.model_dump(), "seed": settings.seed}
    work = resume.folder(stage, identity, [*views.paths(recipe.features, "train"), LABELS])
    statistics = mean_and_variance(arrays, training_rows) if recipe.standardise else None
    keras.config.set_dtype_policy(recipe.precision or "float32")
    seed_everything(settings.seed)
    head = build_head(arrays[0].shape[1:], recipe, name, statistics)
    fitting.compile_classifier(head, recipe, training_images, jit_compile=fuses(recipe))
    history = fitting.fit(
        head,
        fitting.Batches(arrays, y, training_rows, recipe.batch_size, settings.seed),
        fitting.Batches(arrays, y, validation_rows, fitting.VALIDATION_BATCH),
        epochs=recipe.epochs,
        name=stage,
        work=work,
    )

    best = without_optimizer(head)
    best.load_weights(work / "best.weights.h5")
    network = without_optimizer(head)
    extractor = backbone.feature_extractor(layer, features, pretrained)
    with atomic_folder(Path("models") / name / recipe_name) as folder:
        save_model(with_backbone(extractor, network, features.mirrored), folder / "model.keras")
        summary = fitting.save(
            folder,
            network=network,
            best=best,
            history=history,
            recipe=recipe,
            training_images=training_images,
            validation_rows=validation_rows,
            probabilities=views.mean_prediction(network, arrays, validation_rows),
            labels=y[validation_rows],
        )
    shutil.rmtree(work)
    return f"{stage}: {summary}"
