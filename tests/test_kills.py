"""SIGKILL to all processes at any moment of the demo; Ctrl-C, and a terminal that is closed."""

import os
import re
import signal
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from stages.base.files import read_yaml
from tests import project
from tests.helpers import contents, heeded
from tests.repro import begin, kind, ran, repro

pytestmark = pytest.mark.kills
KILLS = 50
# Of the demo's time. Until DVC, Python and TensorFlow have started, a third of it goes by.
LONGEST_LIFE = 0.1
SHORT_LIFE = 0.3  # seconds from the start of a stage; loading Python's packages takes longer


def in_lock(folder: Path) -> set[str]:
    """The stages that are done. DVC writes the lock in place: a kill may cut its last entry off."""
    lock = folder / "dvc.lock"
    stages = read_yaml(lock)["stages"] if lock.exists() else {}
    return {stage for stage, entry in stages.items() if "outs" in entry}


def seconds_of(folder: Path) -> float:
    """How long it took here. Where it takes longer, lives must be longer, or none gets anywhere."""
    return (folder / "dvc.lock").stat().st_mtime - (folder / "params.yaml").stat().st_mtime


def live(folder: Path, seconds: float | None, aim: str = "") -> tuple[str, bool]:
    """Run `dvc repro` for so long, counted from its start or from that of the stage `aim`.

    Returns:
        what it printed, and whether it was killed.
    """
    process = begin(folder, "dvc", "repro")
    timer = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
    if seconds is not None and not aim:
        timer.start()
    printed = ""
    for line in process.stdout:
        printed += line
        if aim and ran(line) == [aim]:
            timer.start()
    status = process.wait()
    timer.cancel()
    assert status in (0, -signal.SIGKILL), printed
    return printed, status != 0


@pytest.mark.long
def test_fifty_kills_lose_nothing_and_change_no_byte(finished, tmp_path):
    """The first ones hit each kind of stage; then they come at any moment."""
    random = np.random.default_rng(0)
    longest = LONGEST_LIFE * seconds_of(finished)
    stages = list(read_yaml(finished / "dvc.lock")["stages"])
    kills, rounds, went_on, killed_in = 0, 0, set(), Counter()
    while kills < KILLS:
        rounds += 1
        folder = tmp_path / f"round {rounds}"
        project.copy_project(folder)
        project.make_small(folder)
        killed = True
        while killed:
            done = in_lock(folder)
            missed = [each for each in stages if each not in done and kind(each) not in killed_in]
            if missed:
                printed, killed = live(folder, random.uniform(0, SHORT_LIFE), missed[0])
            else:
                rest = random.uniform(0, longest) if kills < KILLS else None
                printed, killed = live(folder, rest)
            begun = ran(printed)
            if killed and begun:  # else DVC itself had hardly started
                kills += 1
                killed_in[kind(begun[-1])] += 1
            assert not done & set(begun), "a finished stage ran again"
            went_on |= set(re.findall(r"^(\S+): going on after", printed, re.MULTILINE))
        assert (folder / "dvc.lock").read_bytes() == (finished / "dvc.lock").read_bytes()
    assert any(stage.startswith("cv_lenet") for stage in went_on), went_on
    assert set(killed_in) == set(map(kind, stages)), killed_in


@pytest.mark.long
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGHUP], ids=["Ctrl-C", "a closed window"])
def test_a_fold_goes_on_where_it_was_left(scratch, sent):
    """A fold that is trained anew is stopped in its third epoch, as a terminal does it.

    What DVC locks while it runs is free again, though it may have left its files behind.
    """
    stage = "cv_lenet@study-1"
    anew = ("--single-item", "--force", "--no-run-cache", stage)
    before = contents(scratch / "models/lenet")
    with heeded(sent):
        process = begin(scratch, "dvc", "repro", *anew)
    for line in process.stdout:
        if line.startswith("Epoch 3/"):
            os.killpg(process.pid, sent)
            break
    rest = process.stdout.read()
    assert process.wait() != 0
    assert "Traceback" not in rest
    output = repro(scratch, *anew)
    assert ran(output) == [stage]
    assert re.search(rf"^{stage}: going on after epoch \d+ of", output, re.MULTILINE)
    assert contents(scratch / "models/lenet") == before
