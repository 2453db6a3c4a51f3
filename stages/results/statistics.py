"""Intervals of accuracies, and tests of their differences.

Two kinds of chance are in an accuracy. Another training gives another network: of that speaks the
spread over the folds, and `paired_by_fold`. Another test set has other images: of that speak
`wilson` and `mcnemar`.
"""

import numpy as np
from scipy import stats

SIGNIFICANT = 0.05


def wilson(accuracy: float, images: int) -> dict[str, float]:
    """The 95 % interval of an accuracy on so many images (Wilson 1927, JASA 22:209-212)."""
    interval = stats.binomtest(round(accuracy * images), images).proportion_ci(method="wilson")
    return {"low": interval.low, "high": interval.high}


def mcnemar(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float:
    """The p-value of McNemar's exact test: do two classifiers err equally often on the same images?

    Under that hypothesis an image that only one of them gets right is as likely to be the one's as
    the other's (McNemar 1947, Psychometrika 12:153-157).

    Args:
        first, second: predicted labels (n,).
        labels: the true ones (n,).
    """
    only_first = int(((first == labels) & (second != labels)).sum())
    only_second = int(((first != labels) & (second == labels)).sum())
    discordant = only_first + only_second
    return stats.binomtest(only_first, discordant).pvalue if discordant else 1.0


def paired_by_fold(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Corrected resampled t-test (Nadeau and Bengio 2003, Machine Learning 52:239-281).

    The folds share most of their training images, so their results are not independent, and the
    variance of the mean difference over k folds is more than s^2 / k. The correction takes
    s^2 (1 / k + n2 / n1) with n1 images to train a network and n2 to test it.

    Here n2 / n1 is that of the folds, validation to training images: 1 / (k - 1), so 1/4 for five.
    It stands for the share of training images that two folds do not have in common. The test
    images, though the accuracies may be theirs, have no part in it: every fold is scored on the
    same ones.

    Args:
        first, second: accuracies (k,), each fold at the same position; two folds or more.

    Returns:
        The mean of first - second, its 95 % interval, and p.
    """
    differences = np.asarray(first) - np.asarray(second)
    folds, difference = len(differences), differences.mean()
    error = np.sqrt(differences.var(ddof=1) * (1 / folds + 1 / (folds - 1)))
    with np.errstate(divide="ignore", invalid="ignore"):  # all differences may be the same
        t = difference / error
    half = stats.t.ppf(1 - SIGNIFICANT / 2, folds - 1) * error
    return {
        "difference": float(difference),
        "low": float(difference - half),
        "high": float(difference + half),
        "p_value": float(2 * stats.t.sf(abs(t), folds - 1)),
    }


def welch(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Welch's t-test of two means (Welch 1947, Biometrika 34:28-35).

    It assumes independent normal values. The accuracies of folds that share training and test
    images are not independent, so a p-value close to the limit says little.

    Returns:
        The difference of the means, ours - theirs, its 95 % interval, and t with its degrees of
        freedom and p.
    """
    test = stats.ttest_ind(ours, theirs, equal_var=False)
    interval = test.confidence_interval()
    return {
        "difference": float(np.mean(ours) - np.mean(theirs)),
        "low": float(interval.low),
        "high": float(interval.high),
        "t": float(test.statistic),
        "degrees_of_freedom": float(test.df),
        "p_value": float(test.pvalue),
    }
