"""The comparison: its statistics against figures worked out by hand, and what it rests on."""

import shutil

import numpy as np
import pandas as pd
import pytest

from stages import compare, params
from stages.results import ranking, runs, statistics, study
from stages.results.evaluation import Predictions, Run
from stages.results.runs import Model
from tests.helpers import message_of
from tests.project import ROOT

# Test accuracies of five folds.
LENET = [0.9340, 0.9342, 0.9362, 0.9366, 0.9373]
VGG = [0.9430, 0.9429, 0.9445, 0.9422, 0.9438]


def one_hot(labels: list[int], classes: int = 10) -> np.ndarray:
    return np.eye(classes)[labels]


def trained(
    probabilities: np.ndarray,
    labels: list[int] | None = None,
    validation: Predictions | None = None,
    rows: list[int] | None = None,
) -> Run:
    """A training; without labels all its images are of class 0."""
    labels = np.array(labels or [0] * len(probabilities), np.uint8)
    test = Predictions(np.array(probabilities, np.float16), labels)
    validation = validation or test
    rows = range(len(validation.labels)) if rows is None else rows
    others = ("train_loss", "train_accuracy", "val_loss", "test_loss")
    scores = dict.fromkeys(others, 0.5) | {"val_accuracy": validation.accuracy}
    scores["test_accuracy"] = test.accuracy
    return Run(scores, {"classes": ["cat", "dog"]}, None, validation, np.array(rows), test)


def scored(network: str, accuracies: list[float], images: int = 10_000, **more: bool) -> Model:
    """Trainings of these test accuracies."""
    rights = [round(accuracy * images) for accuracy in accuracies]
    answers = [one_hot([0] * right + [1] * (images - right), classes=2) for right in rights]
    return Model(network, "a", [trained(answer) for answer in answers], **more)


def test_mcnemar_is_the_exact_binomial_test():
    """Of 15 images that only one of two gets right, 3 are the first's: 2 * P(X <= 3), n = 15."""
    first, second = np.repeat([1, 0, 0], [12, 3, 25]), np.repeat([0, 1, 0], [12, 3, 25])
    labels = np.zeros(40, int)
    p = statistics.mcnemar(first, second, labels)
    assert p == pytest.approx(2 * (1 + 15 + 105 + 455) / 2**15)
    assert statistics.mcnemar(first, first, labels) == 1


def test_wilsons_interval():
    """81 of 263, as in Newcombe 1998 (Statistics in Medicine 17:857-872), table I."""
    expected = {"low": 0.2553, "high": 0.3662}
    assert statistics.wilson(81 / 263, 263) == pytest.approx(expected, abs=5e-5)


def test_folds_are_compared_by_the_corrected_resampled_t_test():
    """By hand: mean 0.00762, s = 0.001489; s^2 (1/5 + 1/4) in place of s^2 / 5; t(0.975, 4)."""
    mean, error = 0.00762, 0.001489 * np.sqrt(1 / 5 + 1 / 4)
    expected = {"difference": mean, "low": mean - 2.776 * error, "high": mean + 2.776 * error}
    expected["p_value"] = 0.001585
    assert statistics.paired_by_fold(VGG, LENET) == pytest.approx(expected, rel=2e-3)


def test_the_study_is_compared_by_welchs_test():
    """t = difference / sqrt(s1^2/5 + s2^2/5), and fewer than 8 degrees of freedom, by hand."""
    ours = [0.905, 0.911, 0.908, 0.909, 0.912]
    row = compare.against_study([scored("lenet", ours)]).iloc[0]
    theirs = [0.9164, 0.9197, 0.9222, 0.9168, 0.9146]
    difference = np.mean(ours) - np.mean(theirs)
    first, second = np.var(ours, ddof=1) / 5, np.var(theirs, ddof=1) / 5
    assert row["t"] == pytest.approx(difference / np.sqrt(first + second))
    freedom = (first + second) ** 2 / (first**2 / 4 + second**2 / 4)
    assert row["degrees_of_freedom"] == pytest.approx(freedom)
    assert row["low"] < difference < row["high"] < 0
    assert row["p_value"] < 0.05


def test_a_network_is_better_only_where_every_test_says_so():
    level = scored("resnet", [0.9343, 0.9338, 0.9363, 0.9369, 0.9371])
    models = [scored("lenet", LENET), level, scored("vgg", VGG)]
    table = ranking.between_networks(models)
    verdicts = table.set_index(["first", "second"])["verdict"]
    assert verdicts["vgg", "lenet"] == verdicts["vgg", "resnet"] == "vgg"
    assert verdicts["resnet", "lenet"] == ""
    assert ranking.finding(models, table, "a") == (
        "VGG16 is 0.76 points ahead of ResNet50, "
        "no significant difference between ResNet50 and LeNet-5"
    )
    # By the folds VGG16 is ahead, but so few images do not show it.
    few = [scored("lenet", [0.9, 0.9], images=100), scored("vgg", [0.9, 0.92], images=100)]
    assert ranking.between_networks(few)["verdict"].iloc[0] == ""
    # Many images do, but by the folds it may be chance.
    chance = [scored("lenet", LENET), scored("vgg", [0.99, 0.93, 0.94, 0.93, 0.94])]
    row = ranking.between_networks(chance).iloc[0]
    assert row["mcnemar_p_value"] < 0.001
    assert row["p_value"] > 0.05
    assert row["verdict"] == ""
    # One is ahead by the folds, the other with its folds together: each errs on other images.
    wrong = np.repeat([1, 0], [1_000, 9_000])
    others = [trained(one_hot(np.roll(wrong, 1_000 * fold), classes=2)) for fold in range(5)]
    row = ranking.between_networks([scored("lenet", LENET), Model("vgg", "a", others)]).iloc[0]
    assert row["difference"] > 0 > row["together_difference"]
    assert row["verdict"] == ""


def test_the_finding_names_the_nearest_network_that_each_is_ahead_of():
    """Between neighbours there may be no difference where there is one to the network after."""
    rows = [("vgg", "resnet", ""), ("vgg", "lenet", "vgg"), ("resnet", "lenet", "")]
    between = pd.DataFrame(rows, columns=["first", "second", "verdict"])
    between = between.assign(recipe="a", difference=[0.004, 0.008, 0.004])
    assert ranking.finding([], between, "a") == (
        "VGG16 is 0.80 points ahead of LeNet-5, no significant difference between VGG16 and "
        "ResNet50 or between ResNet50 and LeNet-5"
    )


def test_random_weights_are_not_ranked():
    models = [scored("lenet", [0.9]), scored("vgg", [0.1], random=True)]
    assert ranking.headline(models, ranking.between_networks(models)) == ""


def test_all_networks_weigh_the_same_however_often_each_was_trained():
    sure = [trained(np.array([[1, 0]]), rows=[row]) for row in range(4)]
    sure.append(trained(np.array([[0.5, 0.5]]), rows=[4]))
    unsure = [trained(np.array([[0, 1]]))]
    models = [Model("lenet", "a", sure), Model("vgg", "a", unsure)]
    alone = Model("lenet", "alone", sure[:1])
    classifiers = {each.name: each for each in runs.classifiers([*models, alone])}
    names = ["lenet-a-folds", "vgg-a", "lenet-alone", "all-a", "all-a-weighted"]
    assert list(classifiers) == names
    np.testing.assert_allclose(classifiers["lenet-a-folds"].test.probabilities, [[0.9, 0.1]])
    mean = classifiers["all-a"].test.probabilities
    np.testing.assert_allclose(mean, [[0.45, 0.55]])
    assert classifiers["all-a"].title == "All networks, 6 trainings (recipe a)"


def test_an_ensemble_is_weighted_on_images_that_no_member_was_trained_on():
    """LeNet-5's folds have all rows between them; the head has rows 2 and 3, and is right there."""
    labels = [0, 1, 2, 3]
    truth = 0.8 * one_hot(labels) + 0.02
    off = 0.8 * one_hot([5, 6, 7, 8]) + 0.02

    def part(probabilities: np.ndarray, rows: list[int], test: np.ndarray = truth) -> Run:
        return trained(test, labels, Predictions(probabilities[rows], np.array(rows)), rows)

    # The folds' order is not that of the rows, and they are right where the head was trained.
    half = np.concatenate([truth[:2], off[2:]])
    folds = Model("lenet", "a", [part(half, [3, 0]), part(half, [1, 2])])
    head = Model("vgg", "a", [part(truth, [2, 3])])
    assert list(runs.ensemble_weights([folds, head])) == [0, 1]
    assert list(runs.ensemble_weights([head, folds])) == [1, 0]
    wrong_in_the_test = Model("vgg", "a", [part(truth, [2, 3], test=off)])
    assert list(runs.ensemble_weights([folds, wrong_in_the_test])) == [0, 1]
    pair = [head.together, folds.together]
    assert np.array_equal(runs.together(pair, [1, 0]).probabilities, pair[0].probabilities)


def test_confusion_and_scores_by_class():
    some = Predictions(one_hot([0, 0, 1, 1], 2), np.array([0, 0, 0, 1]))
    counts = compare.confusion_counts(some, ["cat", "dog"])
    counts = counts.set_index(["actual", "predicted"])["images"].to_dict()
    assert counts == {("cat", "cat"): 2, ("cat", "dog"): 1, ("dog", "cat"): 0, ("dog", "dog"): 1}
    cat, dog = compare.per_class(some, ["cat", "dog"]).to_dict("records")
    assert (cat["class"], cat["precision"], cat["recall"]) == ("cat", 1, pytest.approx(2 / 3))
    assert (dog["precision"], dog["recall"], dog["f1"]) == (0.5, 1, pytest.approx(2 / 3))


def test_predictions_are_calibrated_on_validation_images_alone():
    """Four of five right at a claimed 99.9 %: far too sure, whatever the test images say."""
    claimed = np.full((100, 10), 0.001 / 9)
    claimed[:, 0] = 0.999
    validation = Predictions(claimed, np.array([0] * 80 + [1] * 20))
    right = trained(one_hot([0, 0]), validation=validation)
    wrong = trained(one_hot([1, 1]), validation=validation)
    calibration = compare.calibration(Model("lenet", "a", [right]))
    assert compare.calibration(Model("lenet", "a", [wrong])) == calibration
    assert calibration["temperature"] > 2
    largest = validation.at(calibration["temperature"]).probabilities.max()
    assert largest == pytest.approx(0.8, abs=0.02)
    assert calibration["threshold"] == pytest.approx(largest, abs=1e-3)


def test_every_number_of_the_study_stands_beside_ours_and_nowhere_else():
    models = [scored("lenet", LENET), scored("resnet", [0.9]), scored("vgg", VGG)]
    table = compare.results_table(models, with_study=True).set_index(["network", "measure"])
    for network, scores in study.RESULTS.items():
        for measure, score in scores.items():
            # VGG16 was trained once in the study, and in folds here.
            ours = study.MEAN if (network, measure) == ("vgg", study.TEST) else measure
            assert tuple(table.loc[(network, ours), ["study_accuracy", "study_loss"]]) == score
    difference = table.loc[("lenet", study.MEAN), "difference"]
    assert difference == pytest.approx(np.mean(LENET) - 0.91798)
    without = compare.results_table(models, with_study=False)
    assert without[["study_loss", "study_accuracy", "difference"]].isna().all(axis=None)


def test_only_the_evaluations_that_the_params_name_are_read(project):
    """What an undone experiment leaves would get into dvc.lock."""
    shutil.copytree(ROOT / "metrics", "metrics")
    shutil.copytree("metrics/lenet/study/1", "metrics/resnet/undone/1")
    assert "metrics/ has resnet/undone/1, which " in message_of(runs.load_all, params.load())
