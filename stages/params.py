"""What `params.yaml` may say: every key, its type and its range.

Each stage reads and checks the whole file, so that a slip anywhere is found by the first stage that
runs and not hours later; `dvc.yaml` names the keys that the stage goes on to use. DVC itself
passes over a key that no stage declares: `python -m stages.params` checks the file when
nothing runs.
"""

import os
import re
import reprlib
from collections.abc import Sized
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from stages.cli import InputError, run


def _number_from_text(value: Any) -> Any:
    # `dvc exp run -S learning_rate=1e-05` writes 1e-05, which YAML 1.1 reads as a string.
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def _numbered_from_one(folds: list[int]) -> list[int]:
    if len(folds) < 2:
        raise ValueError("must have two folds or more, as in [1, 2]")
    if folds != list(range(1, len(folds) + 1)):
        raise ValueError("must number the folds from 1, without gaps, as in [1, 2, 3]")
    return folds


def _not_empty(values: Sized) -> Sized:
    if not len(values):
        raise ValueError("must not be empty")
    return values


def _ten_different(names: list[str]) -> list[str]:
    if len(names) != 10 or len(set(names)) != 10:
        raise ValueError("must be ten different names, that of label 0 first")
    return names


def _no_ensemble(name: str) -> str:
    if name.endswith(("-folds", "-weighted")):
        raise ValueError("must not end in -folds or -weighted, as the ensembles' names do")
    return name


def _a_path(name: str) -> str:
    if not name or "\0" in name:
        raise ValueError("must be the path of a file")
    return name


Rate = Annotated[float, BeforeValidator(_number_from_text), Field(gt=0, le=1)]
Fraction = Annotated[float, BeforeValidator(_number_from_text), Field(gt=0, lt=1)]
Shift = Annotated[int, Field(ge=1, le=8)]  # in pixels
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Width = Annotated[int, Field(ge=1, le=65536)]
FileName = Annotated[str, AfterValidator(_a_path)]
Decay = Annotated[float, BeforeValidator(_number_from_text), Field(gt=0, lt=1)]
Precision = Literal["mixed_bfloat16", "mixed_float16"]
BackboneName = Literal["resnet50", "vgg16"]
MIRRORING = ("average_mirrored", "mirrored")
BACKBONE_OF = {"resnet": "resnet50", "vgg": "vgg16"}
# The names become parts of stages' and files' names, and of metrics' with _ for each -.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$"), AfterValidator(_no_ensemble)]


class Section(BaseModel):
    """A section of `params.yaml`: no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


T = TypeVar("T", bound=Section)
Recipes = Annotated[dict[Name, T], AfterValidator(_not_empty)]


class CsvPair(Section):
    train: FileName
    test: FileName


class IdxFile(Section):
    """A file here or elsewhere. Why even a path needs its sum stands in `stages/sources/idx.py`."""

    path: FileName | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^/?#\s]+/([^?#\s]*/)?\w[\w.-]*$")] | None = None
    sum: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})$")]

    @model_validator(mode="after")
    def _has_one_place(self) -> "IdxFile":
        if (self.path is None) == (self.url is None):
            raise ValueError("must have a path or a url, and not both")
        return self


class IdxFiles(Section):
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile
    transposed: bool | None = None  # columns for rows, as EMNIST has its images


class Data(Section):
    source: Literal["fashion_mnist", "sample", "csv", "idx"]
    csv: CsvPair
    idx: IdxFiles | None = None
    classes: Annotated[list[str], AfterValidator(_ten_different)] | None = None

    @model_validator(mode="after")
    def _has_what_its_source_needs(self) -> "Data":
        if self.source == "idx" and self.idx is None:
            raise ValueError("source is 'idx', so a section idx with its four files is needed")
        # Else the images would go by Fashion-MNIST's names, and beside the study's numbers.
        if self.source == "idx" and self.classes is None:
            raise ValueError("source is 'idx', so classes is needed, with the names of the labels")
        return self


class Clean(Section):
    duplicates: Literal["drop_all", "keep_first", "keep"]


class UnitsRange(Section):
    min: Width
    max: Width
    step: PositiveInt

    @model_validator(mode="after")
    def _ascends(self) -> "UnitsRange":
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) must not be below min ({self.min})")
        return self


class Tune(Section):
    algorithm: Literal["hyperband", "bayesian", "random"]
    objective: Literal["val_accuracy", "val_loss"]
    units: UnitsRange | Width
    learning_rate: Annotated[list[Rate], AfterValidator(_not_empty)] | Rate
    validation_split: Fraction
    batch_size: PositiveInt
    patience: PositiveInt
    max_epochs: PositiveInt
    factor: Annotated[int, Field(ge=2)]
    hyperband_iterations: PositiveInt
    max_trials: PositiveInt

    @property
    def searches_units(self) -> bool:
        return isinstance(self.units, UnitsRange)

    @property
    def searches_learning_rate(self) -> bool:
        return isinstance(self.learning_rate, list)


class CrossValidation(Section):
    folds: Annotated[list[int], AfterValidator(_numbered_from_one)]


class TrainingRecipe(Section):
    """What every training is told. The optional keys' meaning is in `stages/training/`."""

    learning_rate: Rate
    epochs: PositiveInt
    batch_size: PositiveInt
    weight_decay: Decay | None = None
    label_smoothing: Fraction | None = None
    schedule: Literal["cosine"] | None = None
    warmup_epochs: PositiveInt | None = None
    ema_momentum: Fraction | None = None
    dropout: Fraction | None = None
    precision: Precision | None = None

    @model_validator(mode="after")
    def _warms_up_before_its_end(self) -> "TrainingRecipe":
        if self.warmup_epochs and self.schedule is None:
            raise ValueError("warmup_epochs needs a schedule; add `schedule: cosine`")
        if self.warmup_epochs and self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs must be below epochs ({self.epochs})")
        return self


class LenetRecipe(TrainingRecipe):
    units: Literal["tuned"] | Width
    learning_rate: Literal["tuned"] | Rate
    batch_normalization: bool | None = None
    flip: bool | None = None
    shift: Shift | None = None
    erasing: Fraction | None = None
    average_mirrored: bool | None = None
    average_shifted: Shift | None = None
    seed: Seed | None = None  # the folds keep to the seed of the whole file
    seed_by_fold: bool | None = None


class HeadRecipe(TrainingRecipe):
    features: str
    dense_units: Width
    dense_layers: Annotated[int, Field(ge=1, le=8)]
    validation_split: Fraction
    standardise: bool | None = None
    input_dropout: Fraction | None = None


class Export(Section):
    recipe: str


class Backbone(Section):
    weights: Literal["imagenet", "random"]
    layer: str


class FeaturesRecipe(Section):
    """Its meaning is in `stages/networks/backbone.py`."""

    backbone: Literal["resnet50", "vgg16"]
    input_size: Annotated[int, Field(ge=32, le=512)]  # neither network takes less than 32
    preprocessing: Literal["unit", "imagenet"]
    pooling: Literal["none", "avg", "avg_2x2", "avg_4x4"]
    layers: Annotated[list[str], AfterValidator(_not_empty)] | None = None
    mirrored: bool | None = None
    precision: Precision | None = None


class Params(Section):
    """The whole of `params.yaml`."""

    seed: Seed
    data: Data
    clean: Clean
    tune: Tune
    cv: CrossValidation
    lenet: Recipes[LenetRecipe]
    export: Export
    backbone: Annotated[dict[BackboneName, Backbone], AfterValidator(_not_empty)]
    features: Recipes[FeaturesRecipe]
    resnet: Recipes[HeadRecipe]
    vgg: Recipes[HeadRecipe]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Params":
        """What one section says of another; a line for each contradiction."""
        wrong = []
        if self.export.recipe not in self.lenet:
            wrong.append(_unknown("export.recipe", self.export.recipe, "lenet", self.lenet))
        for name, recipe in self.lenet.items():
            for key in ("units", "learning_rate"):
                if getattr(recipe, key) == "tuned" and not getattr(self.tune, f"searches_{key}"):
                    wrong.append(
                        f"lenet.{name}.{key} is 'tuned', but tune.{key} is one value, so it is not "
                        "searched for; give a number here, or a choice there"
                    )
        for name, recipe in self.features.items():
            if recipe.backbone not in self.backbone:
                key = f"features.{name}.backbone"
                wrong.append(_unknown(key, recipe.backbone, "backbone", self.backbone))
        for head, backbone in BACKBONE_OF.items():
            for name, recipe in getattr(self, head).items():
                key = f"{head}.{name}.features"
                if recipe.features not in self.features:
                    wrong.append(_unknown(key, recipe.features, "features", self.features))
                elif self.features[recipe.features].backbone != backbone:
                    wrong.append(f"{key} is {recipe.features!r}, which are not {backbone}'s")
        if wrong:
            raise ValueError("\n".join(wrong))
        return self


def _unknown(key: str, value: str, section: str, known: dict[str, Any]) -> str:
    return f"{key} is {value!r}, which is not in {section}; it has {', '.join(known)}"


def recipe(recipes: dict[str, Section], name: str, section: str) -> Any:
    """The recipe `name` out of `section`.

    Raises:
        InputError: there is no such recipe, or Keras's backend cannot carry it out.
    """
    if name not in recipes:
        raise InputError(
            f"params.yaml: {section}.{name} is missing; {section} has {', '.join(recipes)}. "
            "Add it, or take one of these"
        )
    found = recipes[name]
    for key in MIRRORING if os.environ.get("KERAS_BACKEND") == "torch" else ():
        if getattr(found, key, None):
            raise InputError(
                f"params.yaml: {section}.{name}.{key} is true, and PyTorch cannot slice backwards; "
                "let KERAS_BACKEND be tensorflow or jax, or take the key out"
            )
    return found


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check `path`.

    Raises:
        InputError: a line for each key that is unknown, missing, of a wrong type, out of range or
            at odds with another.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; run from the repository's root") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deep; take the needless brackets out") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except (LookupError, AttributeError, TypeError, OverflowError) as error:
        # PyYAML lets these through where a value is not what its tag says, as in `!!bool x`.
        raise InputError(
            f"{path} is not valid YAML: a value and its tag (!!) do not go together "
            f"({type(error).__name__}: {error}); take the tag out"
        ) from None
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError("\n".join(_lines(path, error))) from None


# What pydantic puts into a location for the member of a union that it tried, as in `tuned` or a
# number, and at its end where the key itself is wrong.
UNION_MEMBER = re.compile(r"(literal|function-\w+)\[.*|constrained-\w+")
WRONG_KEY = ".[key]"
MESSAGES = {
    "extra_forbidden": "unknown key, take it out or correct its name",
    "dict_type": "must be a section with keys of its own (a dictionary)",
    "model_type": "must be a section with keys of its own (a dictionary)",
    "string_type": "must be a string (a number, put in quotes, is one)",
}


def _lines(path: Path, error: ValidationError) -> list[str]:
    by_key: dict[tuple[str, ...], list[Any]] = {}
    for item in error.errors():
        key = tuple(str(part) for part in item["loc"] if not UNION_MEMBER.fullmatch(str(part)))
        by_key.setdefault(key, []).append(item)
    # Every member of a union complains. Who got further into the value has the reason.
    parents = {key[:length] for key in by_key for length in range(len(key))}
    lines = []
    for key, items in by_key.items():
        if key not in parents:
            lines += _of_key(".".join(key).removesuffix(WRONG_KEY), items)
    return [f"{path}: {line}" for line in lines]


def _of_key(name: str, items: list[Any]) -> list[str]:
    if items[0]["type"] == "missing":
        return [f"{name} is missing: add it"]
    own = [item for item in items if item["type"] == "value_error"] or items
    message = " or ".join(_must(item) for item in own)
    if not name and own is not items:
        return message.splitlines()
    return [f"{name or 'the file'} is {_short(items[0]['input'])}: {message}"]


def _must(item: Any) -> str:
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return MESSAGES.get(
        item["type"], message.replace("String should", "must").replace("should", "must")
    )


def _short(value: Any) -> str:
    try:
        text = reprlib.repr(value)  # unlike repr, it stops early in a value that aliases make huge
    except ValueError:  # Python writes out no whole number of more than 4,300 digits
        return "a value of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def main() -> None:
    load()
    print("params: params.yaml is in order")


if __name__ == "__main__":
    run(main)
