"""What `params.yaml` may say: every key, its type and its range.

Each stage reads and checks the whole file, so that a slip anywhere is found by the first stage that
runs and not hours later; `dvc.yaml` names the keys that the stage goes on to use. DVC itself
passes over a key that no stage declares: `python -m stages.common.params` checks the file when
nothing runs.
"""

import re
from collections.abc import Sized
from pathlib import Path
from typing import Annotated, Any, Literal

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

from stages.common.command import InputError, run


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


Rate = Annotated[float, BeforeValidator(_number_from_text), Field(gt=0, le=1)]
Fraction = Annotated[float, BeforeValidator(_number_from_text), Field(gt=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=65536)]


class Section(BaseModel):
    """A section of `params.yaml`: no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CsvPair(Section):
    train: str
    test: str


class Data(Section):
    source: Literal["fashion_mnist", "csv", "digits"]
    csv: CsvPair


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
    units: UnitsRange
    learning_rate: Annotated[list[Rate], AfterValidator(_not_empty)]
    validation_split: Fraction
    batch_size: PositiveInt
    patience: PositiveInt
    max_epochs: PositiveInt
    factor: Annotated[int, Field(ge=2)]
    hyperband_iterations: PositiveInt
    max_trials: PositiveInt


class CrossValidation(Section):
    folds: Annotated[list[int], AfterValidator(_numbered_from_one)]


class LenetRecipe(Section):
    units: Literal["tuned"] | Width
    learning_rate: Literal["tuned"] | Rate
    epochs: PositiveInt
    batch_size: PositiveInt


class Backbone(Section):
    weights: Literal["imagenet", "random"]
    layer: str


class FeaturesRecipe(Section):
    input_size: Annotated[int, Field(ge=32, le=512)]  # neither network takes less than 32
    preprocessing: Literal["unit", "imagenet"]
    pooling: Literal["none", "avg"]


class HeadRecipe(Section):
    dense_units: Width
    dense_layers: Annotated[int, Field(ge=1, le=8)]
    learning_rate: Rate
    epochs: PositiveInt
    batch_size: PositiveInt
    validation_split: Fraction


class Backbones(Section):
    resnet50: Backbone
    vgg16: Backbone


class Features(Section):
    resnet50: Annotated[dict[str, FeaturesRecipe], AfterValidator(_not_empty)]
    vgg16: Annotated[dict[str, FeaturesRecipe], AfterValidator(_not_empty)]


class Params(Section):
    """The whole of `params.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    data: Data
    clean: Clean
    tune: Tune
    cv: CrossValidation
    lenet: Annotated[dict[str, LenetRecipe], AfterValidator(_not_empty)]
    backbone: Backbones
    features: Features
    resnet: Annotated[dict[str, HeadRecipe], AfterValidator(_not_empty)]
    vgg: Annotated[dict[str, HeadRecipe], AfterValidator(_not_empty)]


def recipe(recipes: dict[str, Section], name: str, section: str) -> Any:
    """The recipe `name` out of `section`.

    Raises:
        InputError: there is no such recipe.
    """
    if name not in recipes:
        raise InputError(
            f"params.yaml: {section}.{name} is missing; recipes that {section} has: "
            f"{', '.join(recipes)}. Add it, or take {name!r} out of the matrix in dvc.yaml"
        )
    return recipes[name]


def backbone(params: Params, name: str) -> Backbone:
    """The section `backbone.name`.

    Raises:
        InputError: there is no such backbone.
    """
    if name not in Backbones.model_fields:
        raise InputError(
            f"there is no backbone {name!r}; there are {', '.join(Backbones.model_fields)}"
        )
    return getattr(params.backbone, name)


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check `path`.

    Raises:
        InputError: a sentence for each key that is unknown, missing, of a wrong type or out of
            range.
    """
    try:
        return Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; run from the repository's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise InputError("; ".join(_lines(path, error))) from None


UNION_MEMBER = re.compile(r"(literal|constrained|int|float|function)\b")
MESSAGES = {
    "extra_forbidden": "unknown key, take it out or correct its name",
    "dict_type": "must be a section with keys of its own (a dictionary)",
    "model_type": "must be a section with keys of its own (a dictionary)",
}


def _lines(path: Path, error: ValidationError) -> list[str]:
    # A union (`tuned` or a number) fails once for each member, with the member's name at the end of
    # the location: those belong to one key, and so into one sentence.
    found: dict[str, list[str]] = {}
    for item in error.errors():
        keys = [str(key) for key in item["loc"] if not UNION_MEMBER.match(str(key))]
        name = ".".join(keys) or "the file"
        if item["type"] == "missing":
            found[f"{name} is missing"] = ["add it"]
        else:
            message = MESSAGES.get(item["type"], item["msg"].removeprefix("Value error, "))
            message = message.replace("Input should", "must")
            found.setdefault(f"{name} is {_short(item['input'])}", []).append(message)
    return [f"{path}: {what}: {' or '.join(messages)}" for what, messages in found.items()]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def main() -> None:
    load()
    print("params: params.yaml is in order")


if __name__ == "__main__":
    run(main)
