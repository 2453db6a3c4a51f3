"""Rivals at the same work, in turns, so that a machine whose speed drifts is fair to all.

Each rival prepares once, in a process of its own with its own environment, passes over the work
once without being timed, and waits. In a round each has its turn, one at a time. A ratio is taken
within a round; what is told of it is the median over the rounds, and the range.
"""

import importlib.util
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

PIPELINE = "this pipeline"
# TensorFlow's own choice depends on the processor, so both are named.
ONEDNN_ON, ONEDNN_OFF = ({"TF_ENABLE_ONEDNN_OPTS": value} for value in "10")
# What the user has set is not set for the rivals.
CHOSEN_BY_RIVALS = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS")

Pass = tuple[float, Callable[[], object]]


@dataclass(frozen=True)
class Rival:
    """Someone who does the work.

    prepare: returns how much work a pass does, and the pass; from a module that loads no backend.
    arguments: of `prepare`.
    environment: variables that are set before a backend is loaded.
    needs: a package without which this rival is left out.
    """

    prepare: Callable[..., Pass]
    arguments: tuple[Any, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    needs: str | None = None


@dataclass(frozen=True)
class Work:
    """What the rivals do.

    title: in a few words.
    rivals: by name. The others are compared with the one called `PIPELINE`.
    derive: from the rates of a round, figures of another kind, by name; if no rival is left out.
    limits: the rivals that are no rivals but what the machine can do at most.
    short: `make bench` has it.
    """

    title: str
    rivals: dict[str, Rival]
    derive: Callable[[dict[str, float]], dict[str, float]] | None = None
    limits: tuple[str, ...] = ()
    short: bool = True


def run(work: Work, rounds: int, seconds: float) -> dict[str, Any]:
    """All rounds of `work`, as it goes into the JSON.

    Args:
        rounds: how many.
        seconds: a turn lasts at least so long, and at least one pass.
    """
    left_out = {
        name: f"{rival.needs} is not installed"
        for name, rival in work.rivals.items()
        if rival.needs and importlib.util.find_spec(rival.needs) is None
    }
    taking_part = {name: each for name, each in work.rivals.items() if name not in left_out}
    names = list(taking_part)
    context = multiprocessing.get_context("spawn")
    processes = {
        name: ProcessPoolExecutor(max_workers=1, mp_context=context) for name in taking_part
    }
    try:
        for name, rival in taking_part.items():
            processes[name].submit(_begin, rival).result()
        found = []
        for number in range(rounds):
            # Nobody is always the first, or always after the same rival.
            turns = names[number % len(names) :] + names[: number % len(names)]
            found.append(
                {name: processes[name].submit(_take_turn, seconds).result() for name in turns}
            )
    finally:
        for process in processes.values():
            process.shutdown()
    result = {
        "title": work.title,
        "limits": [name for name in work.limits if name in taking_part],
        "left_out": left_out,
        "images_a_second": {name: summary([each[name] for each in found]) for name in taking_part},
    }
    if PIPELINE in taking_part:
        result["pipeline_times_as_fast"] = {
            name: summary([each[PIPELINE] / each[name] for each in found])
            for name in taking_part
            if name != PIPELINE
        }
    if work.derive and not left_out:
        derived = [work.derive(each) for each in found]
        result["derived"] = {key: summary([each[key] for each in derived]) for key in derived[0]}
    return result


def summary(values: list[float]) -> dict[str, Any]:
    rounded = [float(f"{value:.4g}") for value in values]
    return {"median": float(f"{statistics.median(values):.4g}"), "rounds": rounded}


_work: Pass


def _begin(rival: Rival) -> None:
    global _work
    # TensorFlow and JAX greet with lines that no log level suppresses; what is raised comes back.
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    for name in CHOSEN_BY_RIVALS:
        os.environ.pop(name, None)
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", **rival.environment}
    _work = rival.prepare(*rival.arguments)
    _work[1]()


def _take_turn(seconds: float) -> float:
    """How much work was done in a second."""
    amount, one_pass = _work
    passes, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        one_pass()
        passes += 1
    return passes * amount / passed
