"""Import Keras through this module: it prepares the machine's settings before Keras loads.

    from stages.training.keras_setup import keras

Environment variables decide which backend, device and threads do the work (KERAS_BACKEND,
CUDA_VISIBLE_DEVICES, TF_NUM_INTRAOP_THREADS, ...), with defaults for a CPU; no param does.
TF_CPP_MIN_LOG_LEVEL=0 brings TensorFlow's own messages back.
"""

import faulthandler
import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = "TF_CPP_MIN_LOG_LEVEL" not in os.environ

backend = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
if importlib.util.find_spec(backend) is None:
    sys.exit(
        f"error: KERAS_BACKEND is {backend!r}, and no such package is installed; install it, or "
        "unset KERAS_BACKEND for TensorFlow"
    )
# On a CPU without AVX-512 TensorFlow leaves oneDNN off; it reads this when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def _without_native_messages() -> Iterator[None]:
    """Hold back what native code writes to standard error, unless the block fails.

    While it is being loaded, TensorFlow writes notices that no log level suppresses. If native code
    ends the process (on a processor that lacks its instructions, say), Python says so all the same.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    faulthandler.enable(terminal)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            faulthandler.disable()
            os.close(terminal)


if QUIET:
    with _without_native_messages():
        import keras
    # Keras Tuner builds a model for each trial, and TensorFlow warns that it compiles each anew.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
else:
    import keras


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and the backend."""
    keras.utils.set_random_seed(seed)


def use_deterministic_operations() -> None:
    """From here on, the same inputs give the same bits, run after run on one machine.

    Seen to hold with TensorFlow on a CPU. PyTorch is asked for it where it has such operations;
    JAX has no such switch.
    """
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif keras.config.backend() == "torch":
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)
