"""Measure the pipeline against its rivals: `python -m benchmarks [WORK ...]`.

It writes `benchmarks/results.json` and `results.png` and prints the rows of the table in
`docs/speed.md`. Each rival prepares in a process of its own and makes one pass that is not timed.
Then they take turns, one at a time, round after round; each round begins with another rival. A
figure is a ratio within one round; the median and the range over the rounds are kept. So a machine
whose speed drifts treats all rivals alike. A quiet machine is needed all the same.
"""

import argparse
import importlib.util
import multiprocessing
import os
import platform
import re
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.works import PIPELINE, WORKS, Work, pass_over, prepare
from stages.base.files import write_json

PACKAGES = ("tensorflow", "keras", "jax", "torch", "numpy", "dvc")


def machine() -> dict[str, Any]:
    """Processor, memory and versions."""
    cpuinfo = Path("/proc/cpuinfo")  # Linux has it
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    known = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", text, re.MULTILINE))
    return {
        "processor": known.get("model name", platform.machine()),
        "family_and_model": f"{known.get('cpu family')} {known.get('model')}",
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES if importlib.util.find_spec(name)},
    }


def take_turns(work: Work, rounds: int, seconds: float) -> dict[str, Any]:
    """All rounds of `work`, as they go into the JSON.

    Args:
        rounds: how many.
        seconds: a turn lasts at least this long, and at least one pass.
    """
    rivals = {}
    for name, rival in work.rivals.items():
        if rival.needs and importlib.util.find_spec(rival.needs) is None:
            print(f"{work.title}: without {name}, because {rival.needs} is not installed")
        else:
            rivals[name] = rival
    names = list(rivals)
    load_average = round(os.getloadavg()[0], 2)
    context = multiprocessing.get_context("spawn")
    processes = {name: ProcessPoolExecutor(max_workers=1, mp_context=context) for name in rivals}
    measured: list[dict[str, float]] = []
    try:
        for name, rival in rivals.items():
            processes[name].submit(prepare, rival, work.images).result()
        for number in range(rounds):
            turns = names[number % len(names) :] + names[: number % len(names)]
            rates = {name: processes[name].submit(pass_over, seconds).result() for name in turns}
            measured.append(rates)
    finally:
        for process in processes.values():
            process.shutdown()
    result = {"title": work.title, "load_average_before": load_average, "rivals": {}}
    for name, rival in rivals.items():
        rates = [rates[name] for rates in measured]
        content = {"images_a_second": float(f"{statistics.median(rates):.4g}")}
        if name != PIPELINE:
            ratios = [rates[PIPELINE] / rates[name] for rates in measured]
            content["pipeline_times_as_fast"] = round(statistics.median(ratios), 3)
            content["lowest"], content["highest"] = round(min(ratios), 3), round(max(ratios), 3)
            content |= {"goal": rival.goal} if rival.goal else {}
        result["rivals"][name] = content
    return result


def comparisons(content: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Of all works: title, rival, and what was measured of the pipeline against it."""
    for work in content["works"].values():
        for name, rival in work["rivals"].items():
            if name != PIPELINE:
                yield work["title"], name, rival


def table(content: dict[str, Any]) -> list[str]:
    """The rows of the table in docs/speed.md; a goal is met if it is met in every round."""
    rows = ["| work | compared with | times as fast (range) | goal | met |", "| --- " * 5 + "|"]
    for title, name, rival in comparisons(content):
        lowest, highest, goal = rival["lowest"], rival["highest"], rival.get("goal")
        measured = f"{rival['pipeline_times_as_fast']:.2f} ({lowest:.2f} to {highest:.2f})"
        if goal:
            met = "yes" if lowest >= goal else "no" if highest < goal else "unclear"
        rows.append(f"| {title} | {name} | {measured} | {goal or '-'} | {met if goal else '-'} |")
    return rows


def picture(content: dict[str, Any], path: Path) -> None:
    """A bar for each rival: the pipeline's speed divided by its own, and the range."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    bars = [(f"{title}\n{name}", rival) for title, name, rival in comparisons(content)]
    figure, axes = plt.subplots(figsize=(9, 1 + 0.42 * len(bars)), layout="constrained")
    for position, (_, rival) in enumerate(bars):
        axes.barh(position, rival["pipeline_times_as_fast"] - 1, left=1, color="#4477aa")
        axes.plot([rival["lowest"], rival["highest"]], [position] * 2, color="black", linewidth=1)
        label = f"  {rival['pipeline_times_as_fast']:.2f}"
        axes.text(max(1, rival["highest"]), position, label, va="center", fontsize=8)
    axes.set_yticks(range(len(bars)), [label.replace("`", "") for label, _ in bars], fontsize=7)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    ticks = [0.5, 1, 2, 5, 10, 20]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(
        f"The pipeline's images a second, divided by a rival's: median and range, {content['date']}"
        f"\n{content['machine']['processor']}, {content['machine']['cores']} cores",
        fontsize=8,
    )
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"of {', '.join(WORKS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="that a turn lasts at least")
    parser.add_argument("--target", type=Path, default=Path("benchmarks/results.json"))
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.works) - set(WORKS)):
        parser.error(f"there is no work {', '.join(unknown)}; there are {', '.join(WORKS)}")
    rounds, works = arguments.rounds, {}
    content = {"date": str(date.today()), "machine": machine(), "rounds": rounds, "works": works}
    for name in arguments.works or WORKS:
        works[name] = take_turns(WORKS[name], rounds, arguments.seconds)
        write_json(arguments.target, content)  # broken off, it leaves the works that are done
        print(f"{name} is done", flush=True)
    picture(content, arguments.target.with_suffix(".png"))
    print("\n".join(table(content)))


if __name__ == "__main__":
    main()
