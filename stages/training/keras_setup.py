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
# Of the variables that begin like these, only those that say what the machine is like may stay:
# among the others are many that change results without a trace in the params.
LIBRARIES = ("KERAS_", "KERASTUNER_", "TF_", "XLA_", "JAX_", "ONEDNN_", "DNNL_")
MACHINES = (
    "KERAS_BACKEND",
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "TF_GPU_ALLOCATOR",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "JAX_PLATFORMS",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
)

backend = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
if backend not in BACKENDS or importlib.util.find_spec(backend) is None:
    sys.exit(
        f"error: KERAS_BACKEND is {backend!r}; it must be one of {', '.join(BACKENDS)}, and "
        "installed. Unset it for TensorFlow"
    )
for name in list(os.environ):
    if name.startswith(LIBRARIES) and name not in MACHINES:
        del os.environ[name]
# Keras reads `keras.json` there, and writes one with its defaults.
os.environ["KERAS_HOME"] = str(Path(".work/keras").absolute())
# On some CPUs TensorFlow leaves oneDNN off; it reads this when it is imported.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Keras would import these for inputs and wrappers that nothing here uses. Without them
# `stages.weights` loads with a quarter less CPU time (Zen 4, November 2026).
not_needed = {"matplotlib", "pandas", "sklearn"} - set(sys.modules)
sys.modules.update(dict.fromkeys(not_needed))
import keras  # noqa: E402

for name in not_needed:
    del sys.modules[name]

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
