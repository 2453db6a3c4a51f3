"""A head of dense layers on the cached features of a frozen backbone."""

from pathlib import Path

from stages.common import backbone, params
from stages.common.files import load_array
from stages.common.images import CLASSES, SPLITS
from stages.common.keras_setup import keras, seed_everything
from stages.common.models import save_model, without_optimizer
from stages.common.params import HeadRecipe
from stages.common.results import Results
from stages.common.training import train_and_evaluate

ENCODED = Path("data/encoded")


def build_head(shape: tuple[int, ...], recipe: HeadRecipe, name: str) -> keras.Model:
    """Flatten, `dense_layers` times `dense_units` with ReLU, ten with softmax; compiled.

    Args:
        shape: of one image's features.
    """
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape, name="features"),
            layers.Flatten(name="flatten"),
            *(
                layers.Dense(recipe.dense_units, activation="relu", name=f"dense_{number}")
                for number in range(1, recipe.dense_layers + 1)
            ),
            layers.Dense(CLASSES, activation="softmax", name="probabilities"),
        ],
        name=name,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
        # XLA, worth most in wide dense layers, which Keras does not use on a CPU unless told so. It
        # declines it once deterministic operations are on, for not every operation is both. These
        # are, so long as the model is compiled first.
        jit_compile=True if keras.config.backend() == "tensorflow" else "auto",
    )
    return model


def with_backbone(extractor: keras.Model, head: keras.Sequential) -> keras.Model:
    """Backbone and head in one, from raw images (n, 28, 28), 0-255, to probabilities (n, 10)."""
    probabilities = without_optimizer(head)(extractor.output)
    return keras.Model(extractor.input, probabilities, name=f"{head.name}_on_raw_images")


def train_and_save(name: str, backbone_name: str, recipe: str) -> Results:
    """Train the head `name` on the cached features, and write its results and the whole network.

    The last `validation_split` of the training images validate it.

    Args:
        name: of the params section with the head's recipes, and of the folders written to.
        backbone_name: whose features they are.
        recipe: the same for the features and for the head.
    """
    settings = params.load()
    section = params.backbone(settings, backbone_name)
    features_recipes = getattr(settings.features, backbone_name)
    features_recipe = params.recipe(features_recipes, recipe, f"features.{backbone_name}")
    head_recipe = params.recipe(getattr(settings, name), recipe, name)

    features = Path(f"data/features/{backbone_name}-{recipe}")
    x, x_test = (load_array(features / f"{split}.npy") for split in SPLITS)
    y, y_test = (load_array(ENCODED / f"y_{split}.npy") for split in SPLITS)
    training_rows = int(len(x) * (1 - head_recipe.validation_split))

    seed_everything(settings.seed)
    head = build_head(x.shape[1:], head_recipe, name)
    results = train_and_evaluate(
        head,
        (x[:training_rows], y[:training_rows]),
        (x[training_rows:], y[training_rows:]),
        (x_test, y_test),
        epochs=head_recipe.epochs,
        batch_size=head_recipe.batch_size,
    )
    tensors = Path(f"models/pretrained/{backbone_name}.npz")
    extractor = backbone.feature_extractor(backbone_name, section.layer, features_recipe, tensors)
    save_model(with_backbone(extractor, head), f"models/{name}/{recipe}.keras")
    results.save(f"{name}/{recipe}")
    return results
