"""The statistics of the comparison, against figures worked out by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stages import compare
from stages.results import runs, study
from stages.results.evaluation import Predictions, Run
from stages.results.runs import Classifier, Model


def trained(
    probabilities: list[list[float]],
    labels: list[int] | None = None,
    validation: Predictions | None = None,
    rows: list[int] | None = None,
    **metrics: float,
) -> Run:
    curves = pd.DataFrame({"epoch": [1, 2, 3], "val_loss": [0.5, 0.4, 0.6]})
    labels = np.array(labels or range(len(probabilities)), np.uint8)
    test = Predictions(np.array(probabilities, np.float16), labels)
    validation = validation or test
    rows = rows or range(len(validation.labels))
    return Run({"best_epoch": 2, **metrics}, {}, curves, validation, np.array(rows), test)


def one_hot(labels: list[int], classes: int = 10) -> np.ndarray:
    return np.eye(classes)[labels]


def test_mcnemar_is_the_exact_binomial_test():
    """Of 15 images that only one of two gets right, 3 are the first's: 2 * P(X <= 3), n = 15."""
    labels = np.zeros(40, int)
    first, second = np.zeros(40, int), np.zeros(40, int)
    first[:12] = 1
    second[12:15] = 1
    found = compare.mcnemar(first, second, labels)
    assert (found["only_first_right"], found["only_second_right"]) == (3, 12)
    assert found["p_value"] == pytest.approx(2 * (1 + 15 + 105 + 455) / 2**15)


def test_mcnemar_of_a_classifier_with_itself_sees_no_difference():
    predicted = np.array([0, 1, 2])
    assert compare.mcnemar(predicted, predicted, np.array([0, 0, 2]))["p_value"] == 1


def test_the_better_of_a_pair_is_named_only_where_they_are_told_apart():
    labels = [0] * 40
    right, wrong = one_hot(labels), one_hot([1] * 40)
    half = np.concatenate([right[:38], wrong[38:]])
    classifiers = [
        Classifier(name, name, Predictions(probabilities, np.array(labels)))
        for name, probabilities in (("good", right), ("nearly", half), ("bad", wrong))
    ]
    table = compare.mcnemar_table(classifiers).set_index(["first", "second"])["better"]
    assert table["good", "nearly"] == ""  # two images of a difference
    assert table["good", "bad"] == "good"
    assert table["nearly", "bad"] == "nearly"


def test_wilsons_interval():
    """9,300 of 10,000: by the formula with z = 1.959964."""
    z, n, p = 1.959964, 10_000, 0.93
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert compare.wilson(0.93, 10_000) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_the_study_is_told_from_this_run_by_welchs_test():
    """t = difference / sqrt(s1^2/5 + s2^2/5), by hand."""
    accuracies = [0.905, 0.911, 0.908, 0.909, 0.912]
    folds = []
    for accuracy in accuracies:
        right = round(accuracy * 1000)
        predicted = [0] * right + [1] * (1000 - right)
        folds.append(trained(one_hot(predicted), [0] * 1000))
    row = compare.against_study([Model("lenet", "any", "LeNet-5", folds)]).iloc[0]
    theirs = [study.RESULTS["lenet"][f"fold {fold}, test"].accuracy for fold in range(1, 6)]
    difference = np.mean(accuracies) - np.mean(theirs)
    error = np.sqrt(np.var(accuracies, ddof=1) / 5 + np.var(theirs, ddof=1) / 5)
    assert row["t"] == pytest.approx(difference / error)
    assert row["difference"] == pytest.approx(difference)
    assert row["low"] < difference < row["high"] < 0
    assert row["p_value"] < 0.05


def test_together_is_the_mean_of_the_probabilities():
    folds = [trained([[1, 0], [0.5, 0.5]]), trained([[0, 1], [0.25, 0.75]])]
    found = runs.together([fold.test for fold in folds])
    assert found.probabilities.tolist() == [[0.5, 0.5], [0.375, 0.625]]


def test_the_best_fold_is_chosen_on_validation_images():
    right = Predictions(one_hot([0, 1]), np.array([0, 1]))
    wrong = Predictions(one_hot([1, 0]), np.array([0, 1]))
    good_on_test = trained([[1, 0], [0, 1]], validation=wrong)
    good_on_validation = trained([[0, 1], [1, 0]], validation=right)
    model = Model("lenet", "any", "LeNet-5", [good_on_test, good_on_validation])
    assert model.best == 1
    first = runs.classifiers([model])[0]
    assert first.title == "LeNet-5, fold 2"
    assert first.test.accuracy == 0


def test_all_three_networks_answer_together_where_a_recipe_has_them_all():
    one = trained(one_hot([0, 1]).tolist())
    models = [Model(network, "a", network, [one]) for network in ("lenet", "resnet", "vgg")]
    models.append(Model("lenet", "b", "lenet", [one]))
    names = [each.name for each in runs.classifiers(models)]
    assert names == [
        "lenet-a",
        "lenet-a-folds",
        "resnet-a",
        "vgg-a",
        "lenet-b",
        "lenet-b-folds",
        "all-a",
        "all-a-weighted",
    ]


def test_an_ensemble_is_weighted_on_images_that_no_member_was_trained_on():
    """LeNet-5's folds have all rows between them; the head has rows 2 and 3, and is right there."""
    labels = [0, 1, 2, 3]
    truth = 0.8 * one_hot(labels) + 0.02
    off = 0.8 * one_hot([5, 6, 7, 8]) + 0.02
    test = truth.tolist()

    def run(probabilities: np.ndarray, rows: list[int]) -> Run:
        return trained(test, labels, Predictions(probabilities[rows], np.array(rows)), rows)

    # The folds' order is not that of the rows, and they are right where the head was trained.
    half = np.concatenate([truth[:2], off[2:]])
    folds = Model("lenet", "a", "LeNet-5", [run(half, [3, 0]), run(half, [1, 2])])
    head = Model("vgg", "a", "VGG16", [run(truth, [2, 3])])
    assert list(runs.ensemble_weights([folds, head])) == [0, 1]
    assert list(runs.ensemble_weights([head, folds])) == [1, 0]
    # The test images have no say.
    other = [replace(one, test=Predictions(off, np.array(labels))) for one in head.runs]
    assert list(runs.ensemble_weights([folds, replace(head, runs=other)])) == [0, 1]
    pair = [head.runs[0].test, folds.runs[0].test]
    assert np.array_equal(runs.together(pair, [1, 0]).probabilities, pair[0].probabilities)


def test_confusion_counts_have_every_pair_of_classes():
    predictions = Predictions(one_hot([0, 1, 1], 2), np.array([0, 0, 1]))
    table = compare.confusion_counts([Classifier("some", "Some", predictions)], ("cat", "dog"))
    counts = table.set_index(["actual", "predicted"])["images"]
    assert counts.to_dict() == {
        ("cat", "cat"): 1,
        ("cat", "dog"): 1,
        ("dog", "cat"): 0,
        ("dog", "dog"): 1,
    }


def test_per_class_precision_recall_and_f1():
    predictions = Predictions(one_hot([0, 0, 1, 1], 2), np.array([0, 0, 0, 1]))
    table = compare.per_class([Classifier("some", "Some", predictions)], ("cat", "dog"))
    cat, dog = table.to_dict("records")
    assert (cat["class"], cat["precision"], cat["recall"]) == ("cat", 1, pytest.approx(2 / 3))
    assert (dog["precision"], dog["recall"], dog["f1"]) == (0.5, 1, pytest.approx(2 / 3))


def test_predictions_are_calibrated_on_validation_images_alone():
    """Four of five right at a claimed 99.9 %: far too sure, whatever the test images say."""
    claimed = np.full((100, 10), 0.001 / 9)
    claimed[:, 0] = 0.999
    validation = Predictions(claimed, np.array([0] * 80 + [1] * 20))
    sure_of_itself = trained(one_hot([0, 1]).tolist(), validation=validation)
    model = Model("lenet", "any", "LeNet-5", [sure_of_itself])
    found = compare.calibration(model)
    wrong = replace(sure_of_itself, test=Predictions(one_hot([1, 0]), np.array([0, 1])))
    assert compare.calibration(replace(model, runs=[wrong])) == found
    assert found["temperature"] > 2
    largest = validation.at(found["temperature"]).probabilities.max()
    assert largest == pytest.approx(0.8, abs=0.02)
    assert found["threshold"] == pytest.approx(largest, abs=1e-3)


def test_on_another_data_set_the_study_has_no_columns():
    one = trained(
        one_hot([0, 1]).tolist(),
        test_loss=0.1,
        test_accuracy=1.0,
        best_epoch_test_loss=0.1,
        best_epoch_test_accuracy=1.0,
    )
    models = [Model("lenet", "any", "LeNet-5", [one, one])]
    table = compare.results_table(models, with_study=False)
    assert table[["study_loss", "study_accuracy"]].isna().all(axis=None)
    assert "study" not in compare.terminal_table(table)
    with_study = compare.terminal_table(compare.results_table(models, with_study=True))
    assert "91.64%" in with_study
    assert max(map(len, with_study.splitlines())) <= 80


def test_metrics_are_few_and_flat():
    one = trained(one_hot([0, 1]).tolist(), val_accuracy=0.5, test_accuracy=1.0, test_loss=0.25)
    models = [Model("resnet", "wide", "ResNet50", [one])]
    found = compare.summary(models, runs.classifiers(models))
    assert found == {
        "resnet_wide_val_accuracy": 0.5,
        "resnet_wide_test_accuracy": 1.0,
        "resnet_wide_test_loss": 0.25,
    }
