"""The statistics of the comparison, against figures worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from stages import compare
from stages.common import classifiers
from stages.common.evaluation import Results


def training(val_accuracy: float, probabilities: list[list[float]], best_epoch: int = 2) -> Results:
    curves = pd.DataFrame({"epoch": [1, 2, 3], "val_loss": [0.5, 0.4, 0.6]})
    metrics = {"val_accuracy": val_accuracy, "best_epoch": best_epoch}
    return Results(metrics, curves, np.array(probabilities, np.float16), np.array([0, 1]))


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
    guesses = np.array([0, 1, 2])
    assert compare.mcnemar(guesses, guesses, np.array([0, 0, 2]))["p_value"] == 1


def test_score_is_cross_entropy_and_accuracy():
    found = compare.score(np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1]))
    assert found.accuracy == 0.5
    assert found.loss == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2)


def test_a_probability_of_zero_costs_what_keras_says():
    assert compare.score(np.array([[1.0, 0.0]]), np.array([1])).loss == pytest.approx(-np.log(1e-7))


def test_the_ensemble_is_the_mean_of_the_probabilities():
    folds = [training(0.9, [[1, 0], [0.5, 0.5]]), training(0.8, [[0, 1], [0.25, 0.75]])]
    assert classifiers.ensemble(folds).tolist() == [[0.5, 0.5], [0.375, 0.625]]


def test_the_best_fold_is_chosen_on_validation_images():
    folds = [training(0.8, [[1, 0], [0, 1]]), training(0.9, [[0, 1], [1, 0]])]
    assert classifiers.best_fold(folds) == 1


def test_a_model_overfits_from_its_best_epoch_unless_that_is_the_last():
    assert compare.overfits_from(training(0.9, [[1, 0]], best_epoch=2)) == 2
    assert compare.overfits_from(training(0.9, [[1, 0]], best_epoch=3)) is None


def test_per_class_precision_recall_and_f1():
    labels, guesses = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    table = compare.per_class({"some": guesses}, labels, ("cat", "dog"))
    cat, dog = table.to_dict("records")
    assert (cat["class"], cat["precision"], cat["recall"]) == ("cat", 1, pytest.approx(2 / 3))
    assert (dog["precision"], dog["recall"], dog["f1"]) == (0.5, 1, pytest.approx(2 / 3))
