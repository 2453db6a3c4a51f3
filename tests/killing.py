"""Breaking a training off, as by a kill or a power cut."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stages.training import fitting


class Killed(BaseException):
    """No `except Exception` stops it."""


@contextmanager
def killed(moment: str | None, epoch: int | None) -> Iterator[None]:
    """Break off the training in the block at the end of `epoch`, which counts from 1.

    Args:
        moment: `before` or `after` the epoch's backup is put away; None: not at all.
    """
    if moment is None:
        yield
        return
    callback = {"before": fitting.KeepEpoch, "after": fitting.Progress}[moment]
    on_epoch_end = callback.on_epoch_end

    def killing(self, number, logs=None):
        if number + 1 == epoch:
            raise Killed
        on_epoch_end(self, number, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callback, "on_epoch_end", killing)
        with pytest.raises(Killed):
            yield
