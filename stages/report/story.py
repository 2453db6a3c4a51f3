"""What the numbers of a run mean, in sentences that hold for whatever is in the run."""

import pandas as pd

from stages.params import FeaturesRecipe, Params
from stages.report import formats
from stages.report.formats import called, difference, listed, percent, points
from stages.results import study
from stages.results.runs import Model

STUDY = "study"  # the recipe with the study's settings
MEAN = "mean of the folds, test"
TOGETHER = "folds together, test"
NAMES = {"lenet": "LeNet-5", "resnet": "ResNet50", "vgg": "VGG16"}
LAST_LAYERS = {"resnet": "conv5_block3_out", "vgg": "block5_pool"}
STUDYS_SIZE = 48  # stated for VGG16
STUDYS_EPOCHS, STUDYS_BATCH = 30, 64
SIGNIFICANT = 0.05
MOST_OF_THE_WAY = 0.9  # of the epochs
NOTABLE = 0.02

Scores = dict[tuple[str, str], pd.Series]
PREPARED = "images prepared as the weights expect them"

# What the optional keys of a recipe, as a training records them, add to the study's settings.
EXTRAS = {
    "batch_normalization": "batch normalisation",
    "flip": "every second training image mirrored",
    "shift": "training images moved by up to {} px",
    "erasing": "a rectangle blackened in {:.0%} of the training images",
    "average_mirrored": "the mean of an image's and its mirror image's answers",
    "average_shifted": "the same of the image moved by {} px each way",
    "seed_by_fold": "a seed of its own for each fold",
    "standardise": "standardised features",
    "input_dropout": "dropout of {:g} of the features",
    "dropout": "dropout of {:g}",
    "weight_decay": "weight decay of {:g}",
    "label_smoothing": "labels smoothed by {:g}",
    "schedule": "a learning rate that falls along a cosine",
    "warmup_epochs": "a warm-up (epochs: {})",
    "ema_momentum": "a moving average of the weights ({:g})",
    "precision": "{} arithmetic",
}


def extras(model: Model) -> list[str]:
    """What the training adds to the study's settings."""
    recorded = model.runs[0].training
    return [words.format(recorded[key]) for key, words in EXTRAS.items() if recorded.get(key)]


def features_of(model: Model, settings: Params) -> FeaturesRecipe:
    """How the images of a head came to be features."""
    return settings.features[model.runs[0].training["features"]]


def layers_of(model: Model, settings: Params) -> list[str]:
    features = features_of(model, settings)
    return features.layers or [settings.backbone[features.backbone].layer]


def finished(models: list[Model], settings: Params) -> list[str]:
    """What finished networks have and their curves are without; a sentence each."""
    names: dict[str, list[str]] = {}
    for model in models:
        recorded, parts = model.runs[0].training, []
        if recorded.get("ema_momentum"):
            parts.append("the moving average of the weights")
        mirrored = recorded.get("average_mirrored") or (
            not model.in_folds and features_of(model, settings).mirrored
        )
        mean = "the mean of the answers for an image"
        if recorded.get("average_shifted"):
            each = ", each with its mirror image" if mirrored else ""
            parts.append(f"{mean} where it is and moved aside{each}")
        elif mirrored:
            parts.append(f"{mean} and its mirror image")
        if parts:
            name = f"{NAMES[model.network]} ({model.recipe})"
            names.setdefault(listed(parts), []).append(name)
    return [
        f"The finished {listed(found)} {'has' if len(found) == 1 else 'have'} in addition {parts}."
        for parts, found in names.items()
    ]


def scores(results: pd.DataFrame) -> Scores:
    """The row of the test accuracy by network and recipe; of LeNet-5 the mean of the folds."""
    rows = results[results["measure"].isin([MEAN, "test"])]
    return {(row["network"], row["recipe"]): row for _, row in rows.iterrows()}


def lead(
    classifiers: pd.DataFrame, results: pd.DataFrame, test_images: int, random: list[str]
) -> str:
    """Who is best on the test set, and what the study's best was.

    Args:
        random: the classifiers that rest on random weights; they are not asked.
    """
    classifiers = classifiers[~classifiers["classifier"].isin(random)]
    best = classifiers.loc[classifiers["accuracy"].idxmax()]
    sentences = [
        f"Best on the {test_images:,} test images: {called(best['title'])}, with "
        f"{percent(best['accuracy'])} right (95{formats.PERCENT} interval "
        f"{formats.interval(best['low'], best['high'])})."
    ]
    rows = pd.DataFrame(scores(results).values())
    trusted = rows[~(rows["network"] + "-" + rows["recipe"]).isin(random)]
    single = trusted.loc[trusted["accuracy"].idxmax()]
    if single["model"] != best["title"]:
        mean = ", mean of the folds" if single["measure"] == MEAN else ""
        sentences.append(
            f"The best single network is {called(single['model'])}, with "
            f"{percent(single['accuracy'])}{mean}."
        )
    if random:
        sentences.append("What rests on random weights is left out here.")
    if rows["study_accuracy"].notna().any():
        theirs = rows.loc[rows["study_accuracy"].idxmax()]
        mean = ", mean of the folds" if theirs["measure"] == MEAN else ""
        sentences.append(
            f"The study's best is its {NAMES[theirs['network']]}, with "
            f"{percent(theirs['study_accuracy'])}{mean}."
        )
    return " ".join(sentences)


def verdict(
    models: list[Model], results: pd.DataFrame, mcnemar: pd.DataFrame, settings: Params
) -> list[str]:
    """Whether the study's verdict, that LeNet-5 beats frozen networks, stands; a paragraph each."""
    random = any(model.random for model in models)
    if random or settings.data.source == "sample":
        reason = "with random weights" if random else "on a small sample"
        return [
            "The study's verdict is that a LeNet-5 trained on the images themselves beats frozen "
            f"networks. A run {reason} cannot say whether it stands."
        ]
    found = scores(results)
    paragraphs = []
    for recipe in dict.fromkeys(model.recipe for model in models):
        heads = sorted(
            (head for head in ("resnet", "vgg") if (head, recipe) in found),
            key=lambda head: -found[head, recipe]["accuracy"],
        )
        if heads and {("lenet", recipe), ("lenet", STUDY)} & set(found):
            paragraphs.append(
                _at_the_studys_settings(heads, found)
                if recipe == STUDY
                else _otherwise(recipe, heads, models, found, settings)
                + _folds_together(recipe, heads, results, mcnemar)
            )
    return paragraphs


def _at_the_studys_settings(heads: list[str], found: Scores) -> str:
    lenet = found["lenet", STUDY]["accuracy"]
    frozen = listed(
        [f"{NAMES[head]} ({percent(found[head, STUDY]['accuracy'])})" for head in heads]
    )
    if lenet > found[heads[0], STUDY]["accuracy"]:
        return (
            f"At the study's settings its verdict stands: LeNet-5 ({percent(lenet)}, mean of the "
            f"folds) is ahead of frozen {frozen}."
        )
    return (
        f"At the study's settings its verdict does not stand here: frozen {frozen}, and LeNet-5 "
        f"{percent(lenet)}, mean of the folds."
    )


def _otherwise(
    recipe: str, heads: list[str], models: list[Model], found: Scores, settings: Params
) -> str:
    """What a recipe of ours gives, and what of the frozen networks' settings it changes.

    A recipe without a LeNet-5 is measured by that of the study's settings.
    """
    own = ("lenet", recipe) in found
    lenet = found["lenet", recipe if own else STUDY]["accuracy"]
    gains = {
        network: found[network, recipe]["accuracy"] - found[network, STUDY]["accuracy"]
        for network in NAMES
        if (network, recipe) in found and (network, STUDY) in found
    }
    parts = [
        f"{NAMES[network]} {percent(found[network, recipe]['accuracy'])}"
        + (
            f" ({difference(*(found[network, name]['accuracy'] for name in (recipe, STUDY)))} "
            "points)"
            if network in gains
            else ""
        )
        for network in [*heads, *(["lenet"] if own else [])]
    ]
    ahead = [NAMES[head] for head in heads if found[head, recipe]["accuracy"] > lenet]
    name = "a single LeNet-5" if own else f"a single LeNet-5 of the study ({percent(lenet)} here)"
    sentences = [
        f"With the recipe {recipe}: {listed(parts)}.",
        f"Frozen {listed(ahead)} {'is' if len(ahead) == 1 else 'are'} then ahead of {name}, by the "
        "mean of the folds."
        if ahead
        else f"{name[0].upper()}{name[1:]} stays ahead, by the mean of the folds.",
    ]
    gaining = [head for head in heads if gains.get(head, 0) > NOTABLE]
    by_name = {(model.network, model.recipe): model for model in models}
    changes = _changes(
        [(by_name[head, recipe], by_name[head, STUDY]) for head in gaining], settings
    )
    if changes:
        names = listed([NAMES[head] for head in gaining])
        sentences.append(
            f"What changed for frozen {names}: {listed(changes)}. The networks stay frozen."
        )
    if PREPARED in changes:
        sentences.append(
            "So what the study met was a limit of how the images were fed, more than of frozen "
            "features."
        )
    return " ".join(sentences)


def _folds_together(
    recipe: str, heads: list[str], results: pd.DataFrame, mcnemar: pd.DataFrame
) -> str:
    """How the folds' common answer stands to the heads, by McNemar's test; "" without folds."""
    rows = results[(results["recipe"] == recipe) & (results["measure"] == TOGETHER)]
    if rows.empty:
        return ""
    folds = f"lenet-{recipe}-folds"
    pairs = mcnemar[mcnemar["first"] == folds].set_index("second")
    places: dict[str, list[str]] = {}
    for head in heads:
        better = pairs.loc[f"{head}-{recipe}", "better"]
        place = "not told apart from" if pd.isna(better) else "behind"
        places.setdefault("ahead of" if better == folds else place, []).append(NAMES[head])
    found = [f"{place} {listed(names)}" for place, names in places.items()]
    return (
        f" LeNet-5's folds together have {percent(rows.iloc[0]['accuracy'])} and are "
        f"{listed(found)} (McNemar's test, below)."
    )


def _changes(pairs: list[tuple[Model, Model]], settings: Params) -> list[str]:
    """How features came to be otherwise, in words, from pairs of our recipe and the study's."""
    found: dict[str, None] = {}
    sizes = []
    for ours, theirs in pairs:
        one, other = features_of(ours, settings), features_of(theirs, settings)
        if (one.preprocessing, other.preprocessing) == ("imagenet", "unit"):
            found[PREPARED] = None
        if one.input_size > other.input_size:
            sizes.append(f"{one.input_size}x{one.input_size}")
        here, there = (layers_of(ours, settings), layers_of(theirs, settings))
        if (here, one.pooling) != (there, other.pooling):
            found["features from other layers"] = None
        if ours.runs[0].training.get("standardise"):
            found["standardised features"] = None
    if sizes:
        found[f"larger images ({' and '.join(dict.fromkeys(sizes))})"] = None
    return list(found)


def against_study(row: pd.Series) -> str:
    """Welch's test of one model's folds, in words."""
    significant = row["p_value"] < SIGNIFICANT
    return (
        f"{called(row['model'])}: mean {percent(row['mean'])} with a standard deviation of "
        f"{100 * row['standard_deviation']:.2f} points, the study's {percent(row['study_mean'])} "
        f"with {100 * row['study_standard_deviation']:.2f}. Difference "
        f"{difference(row['mean'], row['study_mean'])} "
        f"points, 95{formats.PERCENT} interval {points(row['low'])} to {points(row['high'])}; "
        f"Welch's t = {formats.signed(row['t'])} at {row['degrees_of_freedom']:.1f} degrees of "
        f"freedom, p {_equals(row['p_value'])}: "
        f"{'more than' if significant else 'no more than'} the folds' scatter explains."
    )


def by_seed(accuracies: pd.Series) -> str:
    """How far the seed alone moves the test accuracy of one training, in words."""
    low, high = (f"{100 * value:.2f}" for value in (accuracies.min(), accuracies.max()))
    return (
        f"The first fold, trained under {len(accuracies)} seeds on the same images: {low} to "
        f"{high}{formats.PERCENT}, a standard deviation of {100 * accuracies.std():.2f} points. "
        f"Two single trainings can differ by about {100 * 2 * 2**0.5 * accuracies.std():.1f} "
        "points by their seeds alone."
    )


def _equals(p: float) -> str:
    text = formats.p_value(p)
    return text if text.startswith("<") else f"= {text}"


def why(model: Model, row: pd.Series, settings: Params, cleaning: dict[str, int]) -> str:
    """Why our number is not the study's, as far as the run's own files tell.

    Args:
        row: of `results.csv`, with the study's accuracy.
    """
    size = difference(row["accuracy"], row["study_accuracy"])
    place = "above" if size.startswith("+") else "below"
    sentences = [
        f"{percent(row['accuracy'])}, {size[1:]} points {place} the study"
        f"{' (means of the folds)' if model.in_folds else ''}."
    ]
    if not model.in_folds:
        inside = row["low"] <= row["study_accuracy"] <= row["high"]
        sentences.append(
            f"The study's {percent(row['study_accuracy'])} lies {'inside' if inside else 'outside'}"
            f" the 95{formats.PERCENT} interval of ours."
        )
    if model.random:
        sentences.append(
            "The frozen weights are random here instead of ImageNet's. Nothing follows from it."
        )
        return " ".join(sentences)
    if settings.data.source != "fashion_mnist":
        sentences.append(
            f"There are {cleaning['rows']:,} training images here where the study has "
            f"{study.CLEANING['rows']:,}; that alone can explain a difference."
        )
    sentences += _why_lenet(model) if model.in_folds else _why_head(model, settings)
    if added := extras(model):
        sentences.append(f"The recipe adds {listed(added)}.")
    return " ".join([*sentences, *_fit(model)])


def _why_lenet(model: Model) -> list[str]:
    recorded = model.runs[0].training
    same = [recorded["epochs"], recorded["batch_size"]] == [STUDYS_EPOCHS, STUDYS_BATCH]
    theirs = study.HYPERPARAMETERS
    sentences = [
        f"The convolutions and dense layers are the study's; {recorded['units']:g} units (the "
        f"study: {theirs['units']:g}), learning rate {recorded['learning_rate']:g} (the study: "
        f"{theirs['learning_rate']:g}), {recorded['epochs']:g} epochs in batches of "
        f"{recorded['batch_size']:g}"
        + (" as in the study." if same else f" (the study: {STUDYS_EPOCHS} of {STUDYS_BATCH}).")
    ]
    if same and not extras(model):
        sentences.append(
            "What else differs is the data set's release, how the folds were cut and the random "
            "start; the study states no seed, so their shares cannot be told."
        )
    return sentences


def _why_head(model: Model, settings: Params) -> list[str]:
    features, layers = features_of(model, settings), layers_of(model, settings)
    sentences = []
    if features.preprocessing == "unit":
        sentences.append(
            "As in the study, the images are scaled to 0-1. The weights were trained on images "
            "prepared otherwise (blue, green, red, less ImageNet's mean), so their features say "
            "less than they could."
        )
    else:
        sentences.append(
            "The images are prepared as the weights were trained (blue, green, red, less "
            "ImageNet's mean), where the study scales them to 0-1."
        )
    size = f"{features.input_size}x{features.input_size}"
    if model.network == "resnet":
        sentences.append(f"They go in at {size} pixels; the study states no size for ResNet50.")
    elif features.input_size != STUDYS_SIZE:
        sentences.append(
            f"They go in at {size} pixels, in the study at {STUDYS_SIZE}x{STUDYS_SIZE}."
        )
    if layers != [LAST_LAYERS[model.network]]:
        sentences.append(
            f"The features come from {listed(layers)}; the study's whole network ends at "
            f"{LAST_LAYERS[model.network]}."
        )
    return sentences


def _fit(model: Model) -> list[str]:
    """Whether the training went too far, or could have gone on."""
    best = [run.metrics["best_epoch"] for run in model.runs]
    epochs = len(model.runs[0].curves)
    train, validation = model.mean("train_accuracy"), model.mean("val_accuracy")
    if min(best) == epochs:
        return [
            "The validation loss is lowest in the last epoch: it does not overfit, and more epochs "
            "might help."
        ]
    if max(best) <= MOST_OF_THE_WAY * epochs and train - validation > NOTABLE:
        first, last = f"{min(best):g}", f"{max(best):g}"
        return [
            f"It overfits: at the end {percent(train)} of the training images are right and "
            f"{percent(validation)} of the validation images, whose loss is lowest in epoch "
            f"{first if first == last else f'{first} to {last}'} of {epochs}. With the weights of "
            f"the best epoch the test loss is {formats.loss(model.mean('best_epoch_test_loss'))} "
            f"instead of {formats.loss(model.mean('test_loss'))}."
        ]
    return []


def told_apart(mcnemar: pd.DataFrame) -> str:
    """How many pairs of classifiers McNemar's test tells apart."""
    alike = int(mcnemar["better"].isna().sum())
    if not alike:
        return f"All {len(mcnemar)} pairs are told apart."
    return f"{len(mcnemar) - alike} of {len(mcnemar)} pairs are told apart, {alike} are not."
