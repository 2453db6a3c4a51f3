"""Keys of `params.yaml` that contradict each other, each valid by itself."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stages.catalog import NETWORKS

if TYPE_CHECKING:
    from stages.params import HeadRecipe, LenetRecipe, Params, TrainingRecipe


def of(params: "Params") -> Iterator[str]:
    """A line for each contradiction."""
    data, tune, folds = params.data, params.tune, params.cv.folds
    # Without names, they would get Fashion-MNIST's names and stand beside the study's numbers.
    for key in ("idx", "classes"):
        if data.source == "idx" and getattr(data, key) is None:
            yield f"data.source is 'idx', which needs data.{key}; add it"
    if data.classes and len(set(data.classes)) < len(data.classes):
        yield f"data.classes is {data.classes}; the names must differ"
    for name, file in (data.idx.files() if data.idx else {}).items():
        if (file.path is None) == (file.url is None):
            yield f"data.idx.{name} must have either a path or a url, not both"
    if tune.searches_units and tune.units.max < tune.units.min:
        yield f"tune.units.max is {tune.units.max}, which is below tune.units.min"
    if folds != list(range(1, len(folds) + 1)):
        yield f"cv.folds is {folds}; number them from 1, without gaps, as in [1, 2, 3]"
    if params.export.recipe not in params.lenet:
        yield _unknown("export.recipe", params.export.recipe, "lenet")
    for name, recipe in params.features.items():
        if recipe.backbone not in params.backbone:
            yield _unknown(f"features.{name}.backbone", recipe.backbone, "backbone")
    for network, row in NETWORKS.items():
        for name, recipe in getattr(params, network).items():
            yield from _of_training(f"{network}.{name}", recipe)
            if row.frozen:
                yield from _of_head(f"{network}.{name}", recipe, params, row.backbone)
            else:
                yield from _of_lenet(f"{network}.{name}", recipe, params)


def _unknown(key: str, value: str, section: str) -> str:
    return f"{key} is {value!r}, which is not in the section {section}"


def _of_training(key: str, recipe: "TrainingRecipe") -> Iterator[str]:
    if recipe.warmup_epochs and recipe.schedule is None:
        yield f"{key}.warmup_epochs needs a schedule; add `schedule: cosine`"
    if recipe.warmup_epochs and recipe.warmup_epochs >= recipe.epochs:
        yield f"{key}.warmup_epochs is {recipe.warmup_epochs}, which must be below epochs"


def _of_lenet(key: str, recipe: "LenetRecipe", params: "Params") -> Iterator[str]:
    for name in ("units", "learning_rate"):
        if getattr(recipe, name, None) == "tuned" and not getattr(params.tune, f"searches_{name}"):
            yield f"{key}.{name} is 'tuned', but tune.{name} is one value; give a number here"


def _of_head(key: str, recipe: "HeadRecipe", params: "Params", backbone: str) -> Iterator[str]:
    if bool(recipe.cross_validated) == (recipe.validation_split is not None):
        yield f"{key} must have either validation_split or `cross_validated: true`, not both"
    if recipe.features not in params.features:
        yield _unknown(f"{key}.features", recipe.features, "features")
    elif params.features[recipe.features].backbone != backbone:
        yield f"{key}.features is {recipe.features!r}, which is not computed with {backbone}"
