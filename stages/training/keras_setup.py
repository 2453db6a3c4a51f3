"""Import Keras through this module: it prepares the machine's settings before Keras loads.

    from stages.training.keras_setup import keras

The environment chooses the backend, the device and the threads (KERAS_BACKEND,
CUDA_VISIBLE_DEVICES, TF_NUM_INTRAOP_THREADS, ...). Nothing else of it, and no `keras.json`, changes
a result. TF_CPP_MIN_LOG_LEVEL=0 shows TensorFlow's messages.
"""

import importlib.util
import logging
import os
import sys
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")
# Each of these changes results without a trace in the params.
IGNORED = (
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    "TF_XLA_FLAGS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TF_SET_ONEDNN_FPMATH_MODE",
    "KERASTUNER_TUNER_ID",
    "KERASTUNER_ORACLE_IP",
    "JAX_ENABLE_X64",
    "JAX_DEFAULT_MATMUL_PRECISION",
)

backend = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
if backend not in BACKENDS or importlib.util.find_spec(backend) is None:
    sys.exit(
        f"error: KERAS_BACKEND is {backend!r}; it must be one of {', '.join(BACKENDS)}, and "
        "installed. Unset it for TensorFlow"
    )
for name in IGNORED:
    os.environ.pop(name, None)
# Keras reads `keras.json` there, and writes one with its defaults.
os.environ["KERAS_HOME"] = str(Path(".work/keras").absolute())
# On a CPU without AVX-512 TensorFlow leaves oneDNN off; it reads this when it is imported.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402

# Keras Tuner builds a model for each trial, and TensorFlow warns that it compiles each anew.
logging.getLogger("tensorflow").setLevel(logging.ERROR)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and the backend."""
    keras.utils.set_random_seed(seed)


def use_deterministic_operations() -> None:
    """From here on, the same inputs give the same bits, run after run on one machine.

    Tested with TensorFlow on a CPU. PyTorch uses such operations where it has them; JAX has no
    such switch.
    """
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend == "torch":
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)
