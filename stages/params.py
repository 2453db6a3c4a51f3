"""What `params.yaml` may say: every key, its meaning, its type and its range.

Each stage that takes params checks the whole file, so that a mistake anywhere is found by the first
stage that runs and not hours later; `dvc.yaml` names the keys that the stage goes on to use. DVC
ignores a key that no stage declares. `python -m stages.params` checks the file without a run.
"""

import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, create_model
from ruamel.yaml import YAML

from stages import contradictions
from stages.catalog import BACKBONES, HEADS, NETWORKS
from stages.cli import InputError, run


def required(meaning: str, *examples: Any) -> Any:
    return Field(description=meaning, examples=list(examples) or None)


def optional(meaning: str, *examples: Any) -> Any:
    """A key that is None by default; a module that the stages depend on says what that means."""
    return Field(None, description=meaning, examples=list(examples) or None)


Fraction = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Rates = Annotated[list[Rate], Field(min_length=1)]
Pixels = Annotated[int, Field(ge=1, le=8)]
Width = Annotated[int, Field(ge=1, le=65536)]
Folds = Annotated[list[int], Field(min_length=2)]
Place = Annotated[str, Field(pattern=r"^[^\x00]+\Z")]
Url = Annotated[str, Field(pattern=r"^https?://[^/?#\s]+/([^?#\s]*/)?\w[\w.-]*\Z")]
Sum = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})\Z")]
Label = Annotated[str, Field(pattern=r"^.*\S.*\Z")]  # in one line
Labels = Annotated[list[Label], Field(min_length=2, max_length=100)]
Layers = Annotated[list[str], Field(min_length=1)]
Precision = Literal["mixed_bfloat16", "mixed_float16"]
BackboneName = Literal[*BACKBONES]
# They become parts of stages' and files' names, and of metrics' with _ for each -. The ensembles
# have names that end in -folds and -weighted.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*(?<!-folds)(?<!-weighted)\Z")]


class Section(BaseModel):
    """A section of `params.yaml`: no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, regex_engine="python-re")


T = TypeVar("T", bound=Section)
Recipes = Annotated[dict[Name, T], Field(min_length=1)]


class CsvPair(Section):
    train: Place = required("The training images.", "data/sample/train.csv", "data/sample/test.csv")
    test: Place = required("The test images.", "data/sample/test.csv", "data/sample/train.csv")


class IdxFile(Section):
    """A file, by path or URL. `stages/sources/idx.py` says why a path needs a checksum too."""

    path: Place | None = optional("The file's path.", "mnist/train-images-idx3-ubyte.gz")
    url: Url | None = optional("Its URL, instead of a path.", "https://example.org/images.gz")
    sum: Sum = required("The file's SHA-256 or MD5.", f"md5:{'0' * 32}")


class IdxFiles(Section):
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile
    transposed: bool | None = optional("The files store each image by columns, as EMNIST's do.")

    def files(self) -> dict[str, IdxFile]:
        return {name: file for name, file in self if isinstance(file, IdxFile)}


class Data(Section):
    source: Literal["fashion_mnist", "sample", "csv", "idx", "folder"] = required(
        "Where the images come from; `sample` is a small part of Fashion-MNIST, in Git."
    )
    csv: CsvPair = required("Two tables: label,pixel1,...,pixel784, one image per row.")
    idx: IdxFiles | None = optional("Four IDX files, gzipped or not.")
    folder: Place = required("Pictures in train/CLASS/ and test/CLASS/.", "data/sample/pictures")
    framed: bool | None = optional("False: pictures are scaled, not trimmed.")
    classes: Labels | None = optional("Names for the labels of csv and idx.", ["left", "right"])


class Clean(Section):
    duplicates: Literal["drop_all", "keep_first", "keep"] = required(
        "Repeated training rows: drop every copy, keep the first one, keep all."
    )


class UnitsRange(Section):
    min: Width = required("The smallest width of the first dense layer.", 32, 40)
    max: Width = required("The largest width.", 512, 256)
    step: PositiveInt = required("The distance from one width to the next.", 8, 16)


class Tune(Section):
    algorithm: Literal["hyperband", "bayesian", "random"] = required("Keras Tuner's algorithm.")
    objective: Literal["val_accuracy", "val_loss"] = required("The measure of the best trial.")
    units: UnitsRange | Width = required("The widths to search; a single width is not searched.")
    learning_rate: Rates | Rate = required(
        "The rates to search; a single rate is not searched.", [0.01, 0.001, 0.0001], [0.01]
    )
    validation_split: Fraction = required("Share of validation images, the last ones.", 0.2, 0.1)
    batch_size: PositiveInt = required("Images per training step.", 64, 32)
    patience: PositiveInt = required("Epochs without a better validation loss end a trial.", 5, 2)
    max_epochs: PositiveInt = required("Maximum number of epochs per trial.", 10, 5)
    factor: Annotated[int, Field(ge=2)] = required("Hyperband promotes one in this many.", 3, 2)
    max_trials: PositiveInt = required("Maximum number of trials; not for Hyperband.", 20, 5)

    @property
    def searches_units(self) -> bool:
        return isinstance(self.units, UnitsRange)

    @property
    def searches_learning_rate(self) -> bool:
        return isinstance(self.learning_rate, list)


class CrossValidation(Section):
    folds: Folds = required("The numbers of the folds, from 1.", [1, 2, 3, 4, 5], [1, 2])


class TrainingRecipe(Section):
    """The keys of every training. Without the optional ones it follows the study."""

    learning_rate: Rate = required("Adam's learning rate; with a schedule, its peak.", 0.001, 0.01)
    epochs: PositiveInt = required("Passes over the training images.", 30, 3)
    batch_size: PositiveInt = required("Images per training step.", 64, 32)
    weight_decay: Fraction | None = optional("AdamW's weight decay.", 0.01, 0.005)
    label_smoothing: Fraction | None = optional("Label smoothing.", 0.1, 0.2)
    schedule: Literal["cosine"] | None = optional("Learning rate schedule, down to 0.")
    warmup_epochs: PositiveInt | None = optional("Epochs until the rate reaches its peak.", 1, 2)
    ema_momentum: Fraction | None = optional("Momentum of the weights' moving average.", 0.99, 0.9)
    dropout: Fraction | None = optional("Dropout of the hidden dense layers.", 0.3, 0.4)
    precision: Precision | None = optional("Keras's dtype policy instead of float32.")


class LenetRecipe(TrainingRecipe):
    units: Literal["tuned"] | Width = required("First dense layer's width, or `tuned`.", 512, 100)
    learning_rate: Literal["tuned"] | Rate = required("As above, or `tuned`.", 0.002, 0.005)
    batch_normalization: bool | None = optional("Batch normalisation after each pooling.")
    flip: bool | None = optional("Training mirrors half of the images.")
    shift: Pixels | None = optional("Training shifts images by up to this many pixels.", 1, 3)
    erasing: Fraction | None = optional("Share of training images with random erasing.", 0.25, 0.15)
    average_mirrored: bool | None = optional("Predicts the mean of an image and its mirror image.")
    average_shifted: Pixels | None = optional("Averages over shifts by this many pixels too.", 1, 3)
    seed_by_fold: bool | None = optional("Fold n adds n - 1 to the seed.")


class HeadRecipe(TrainingRecipe):
    features: str = required("A key of the section `features`.")
    dense_units: Width = required("Width of each hidden layer.", 512, 300)
    dense_layers: Annotated[int, Field(ge=1, le=8)] = required("Number of hidden layers.", 1, 3)
    validation_split: Fraction | None = optional("Share of validation images, the last ones.", 0.2)
    cross_validated: bool | None = optional("One training for each of `cv.folds`.")
    standardise: bool | None = optional("Standardise each feature.")
    input_dropout: Fraction | None = optional("Dropout of the features.", 0.2, 0.1)


class Export(Section):
    recipe: str = required("The recipe whose LeNet-5 Git keeps, and `predict` uses.")


class Backbone(Section):
    weights: Literal["imagenet", "random"] = required("`random` needs no file: for a trial run.")
    layer: str = required("The last layer that is kept.", "conv4_block6_out", "block4_pool")


class FeaturesRecipe(Section):
    backbone: BackboneName = required("A key of the section `backbone`.")
    input_size: Annotated[int, Field(ge=32, le=512)] = required("Image side in pixels.", 96, 40)
    preprocessing: Literal["unit", "imagenet"] = required("Pixels 0-1, or ImageNet preprocessing.")
    pooling: Literal["none", "avg", "avg_2x2"] = required("Average pooling of each layer.")
    layers: Layers | None = optional("Layers instead of `backbone.NAME.layer`.", ["block4_pool"])
    mirrored: bool | None = optional("Mirror images too, for training and prediction.")
    precision: Precision | None = optional("Keras's dtype policy instead of float32.")


class _WithoutHeads(Section):
    seed: Annotated[int, Field(ge=0, lt=2**31)] = required("The seed of all random numbers.", 0, 1)
    data: Data
    clean: Clean
    tune: Tune
    cv: CrossValidation
    lenet: Recipes[LenetRecipe]
    export: Export
    backbone: Annotated[dict[BackboneName, Backbone], Field(min_length=1)]
    features: Recipes[FeaturesRecipe]


_HEADS = dict.fromkeys(HEADS, Recipes[HeadRecipe])
Params = create_model(
    "Params", __base__=_WithoutHeads, __doc__="The whole of `params.yaml`.", **_HEADS
)


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check `path`, in YAML 1.2, as DVC reads it.

    Raises:
        InputError: a line for each key that is unknown, missing, of a wrong type, out of range or
            at odds with another.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; run from the repository's root") from None
    except Exception as error:  # nearly any, if a value does not fit its tag (!!)
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    try:
        params = Params.model_validate(content)
        slips = list(contradictions.of(params))
    except ValidationError as error:
        slips = [_slip(**item) for item in error.errors(include_url=False, include_context=False)]
    if slips:
        raise InputError("\n".join(f"{path}: {' '.join(slip.split())}" for slip in slips))
    return params


def _slip(loc: tuple[str | int, ...], input: Any, msg: str, type: str) -> str:
    key = ".".join(map(str, loc)) or "the file"
    return f"{key}: {msg}" if isinstance(input, dict) else f"{key} is {reprlib.repr(input)}: {msg}"


def recipe(recipes: dict[str, Section], name: str, section: str) -> Any:
    """The recipe `name` out of `section`.

    Raises:
        InputError: there is no such recipe.
    """
    if name not in recipes:
        raise InputError(f"params.yaml: {section}.{name} is missing; use {' or '.join(recipes)}")
    return recipes[name]


def trainings(params: Params, network: str, recipe: str) -> list[int]:
    """The numbers of a recipe's trainings: the folds, or 1 if there is only one."""
    in_folds = not NETWORKS[network].frozen or getattr(params, network)[recipe].cross_validated
    return params.cv.folds if in_folds else [1]


def main() -> None:
    load()
    print("params: params.yaml is in order")


if __name__ == "__main__":
    run(main)
