"""Breaking a training off, as by a kill or a power cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from stages.training.fitting import KeepEpoch


class Killed(BaseException):
    """No `except Exception` stops it."""


@contextmanager
def killed(moment: str | None, epoch: int | None) -> Iterator[None]:
    """Break off the training in the block at the end of the `epoch`-th epoch in the block, from 1.

    Args:
        moment: `before` or `after` the epoch's backup is put away; None: not at all.
    """
    if moment is None:
        yield
        return
    on_epoch_end, epochs = KeepEpoch.on_epoch_end, count(1)

    def killing(self, number, logs=None):
        last = next(epochs) == epoch
        if last and moment == "before":
            raise Killed
        on_epoch_end(self, number, logs)
        if last:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeepEpoch, "on_epoch_end", killing)
        with pytest.raises(Killed):
            yield
