"""Figures as a table, and as a picture."""

from pathlib import Path
from typing import Any

from benchmarks.rounds import PIPELINE
from benchmarks.transfer import TIMES_AS_FAST, TRANSFER


def table(work: dict[str, Any]) -> str:
    """What `rounds.run` returned."""
    load = work["load_average"]
    lines = [f"\n{work['title']} (load average {load['before']} before, {load['after']} after)"]
    ratios = work.get("pipeline_times_as_fast", {})
    for name, rate in work["images_a_second"].items():
        line = f"  {name:40}{_range(rate):>30} images a second"
        if name in ratios:
            what = "share of it" if name in work["limits"] else "times as fast"
            line += f"   {_range(ratios[name]):>22} {what}"
        lines.append(line)
    for name, value in work.get("derived", {}).items():
        lines.append(f"  {name:40}{_range(value):>30}")
    lines += [f"  {name}: left out, {reason}" for name, reason in work["left_out"].items()]
    return "\n".join(lines)


def _range(summary: dict[str, Any]) -> str:
    values = (summary["median"], min(summary["rounds"]), max(summary["rounds"]))
    return "{} ({} to {})".format(
        *(f"{value:,.0f}" if value >= 100 else f"{value:.2f}" for value in values)
    )


def _bars(work: dict[str, Any]) -> dict[str, Any]:
    """The ratios, by the name of what the pipeline is compared with."""
    if "pipeline_times_as_fast" in work:
        return work["pipeline_times_as_fast"]
    derived = work.get("derived", {})
    return {TRANSFER: derived[TIMES_AS_FAST]} if TIMES_AS_FAST in derived else {}


def picture(content: dict[str, Any], path: Path) -> bool:
    """A bar for each rival: the pipeline's speed divided by its own, the range over the rounds.

    Returns:
        whether there was any such ratio to draw.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    works = [each for each in content["works"].values() if _bars(each)]
    if not works:
        return False
    heights = [len(_bars(each)) + 1.5 for each in works]
    figure, panels = plt.subplots(
        len(works),
        figsize=(9, 0.27 * sum(heights)),
        height_ratios=heights,
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    for axes, work in zip(panels[:, 0], works, strict=True):
        ratios = _bars(work)
        for position, (name, ratio) in enumerate(ratios.items()):
            middle, rounds = ratio["median"], ratio["rounds"]
            is_limit = name in work["limits"]
            color = "#bbbbbb" if is_limit else "#4477aa"
            axes.barh(position, middle - 1, left=1, color=color)
            axes.plot([min(rounds), max(rounds)], [position] * 2, color="black", linewidth=1)
            label = f"  {middle:.2f}"
            axes.text(max(1, *rounds), position, label, va="center", fontsize=8)
        axes.set_yticks(range(len(ratios)), list(ratios), fontsize=8)
        axes.invert_yaxis()
        axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(work["title"], fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1, 0].set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    panels[-1, 0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[-1, 0].minorticks_off()
    machine = content["machine"]
    panels[-1, 0].set_xlabel(
        f"{PIPELINE}'s images a second, divided by a rival's; grey: by a limit of the machine\n"
        f"{machine['processor']}, {machine['cores']} cores; median and range of "
        f"{content['rounds']} rounds",
        fontsize=8,
    )
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return True
