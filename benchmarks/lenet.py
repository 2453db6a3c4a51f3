"""Training LeNet-5 with 248 units at batch 64, as the study does: 27.5 MFLOP an image.

Random images: speed does not depend on what is in them.
"""

from benchmarks.limits import matrix_product
from benchmarks.rounds import ONEDNN_OFF, ONEDNN_ON, PIPELINE, Pass, Rival, Work

IMAGES = 64 * 200
BATCH = 64
UNITS = 248
# Forward 9.6: 1.3 and 7.7 in the convolutions, 0.6 in the dense layers. Training takes each three
# times, but for the first convolution, whose inputs need no gradient.
FLOP = 27.5e6


def images_and_labels():
    import numpy as np

    random = np.random.default_rng(0)
    labels = np.eye(10, dtype=np.float32)[random.integers(0, 10, IMAGES)]
    return random.random((IMAGES, 28, 28, 1), np.float32), labels


def pipeline(
    precision: str,
    deterministic: bool,
    batches: bool = True,
    steps: int | None = None,
    workers: int | None = None,
) -> Pass:
    """An epoch as `fitting.fit` runs it, but for its callbacks.

    Args:
        batches: from `Batches`, as the pipeline does it, and not from arrays.
        steps: that Keras runs at a time, between two looks at the callbacks, in place of the
            pipeline's number.
        workers: of Keras, that make batches, in place of the pipeline's number; with one tf.data
            tunes itself.
    """
    import numpy as np

    from stages import params
    from stages.networks import lenet
    from stages.training import fitting
    from stages.training.keras_setup import keras, seed_everything, use_deterministic_operations

    seed_everything(0)
    x, y = images_and_labels()
    keras.config.set_dtype_policy(precision)
    model = lenet.build(UNITS)
    recipe = params.load().lenet["study"].model_copy(update={"learning_rate": 0.001})
    fitting.compile_classifier(model, recipe, len(x))
    model.steps_per_execution = steps or model.steps_per_execution
    if deterministic:
        use_deterministic_operations()
    if not batches:
        return len(x), lambda: model.fit(x, y, batch_size=BATCH, verbose=0)
    rows = fitting.Batches([x], y, np.arange(len(x)), BATCH, seed=0)
    rows.workers = workers or rows.workers
    return len(x), lambda: model.fit(rows, shuffle=False, verbose=0)


def keras_defaults() -> Pass:
    import keras

    layers = keras.layers
    x, y = images_and_labels()
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(48, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(UNITS, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return len(x), lambda: model.fit(x, y, batch_size=BATCH, verbose=0)


def torch_loop(precision: str = "float32") -> Pass:
    """By hand, channels last, Adam fused."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    x, y = (torch.from_numpy(array) for array in images_and_labels())
    x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    y = y.argmax(dim=1)
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 48, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(1200, UNITS), nn.ReLU(), nn.Linear(UNITS, 84), nn.ReLU(), nn.Linear(84, 10)),
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    lower = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

    def epoch() -> float:
        right = torch.zeros((), dtype=torch.int64)
        for rows in torch.randperm(len(x)).split(BATCH):
            with lower:
                scores = model(x[rows])
            loss = nn.functional.cross_entropy(scores.float(), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += (scores.argmax(dim=1) == y[rows]).sum()
        return int(right) / len(x)

    return len(x), epoch


WORKS = {
    "lenet": Work(
        title="Training LeNet-5, batch 64, float32",
        rivals={
            PIPELINE: Rival(pipeline, ("float32", True)),
            "Keras's defaults, oneDNN on": Rival(keras_defaults, environment=ONEDNN_ON),
            "Keras's defaults, oneDNN off": Rival(keras_defaults, environment=ONEDNN_OFF),
            "Keras on JAX": Rival(keras_defaults, (), {"KERAS_BACKEND": "jax"}, "jax"),
            "Keras on PyTorch": Rival(keras_defaults, (), {"KERAS_BACKEND": "torch"}, "torch"),
            "PyTorch by hand, channels last": Rival(torch_loop, needs="torch"),
            "matrix product, TensorFlow": Rival(matrix_product, (FLOP, "tensorflow", "float32")),
            "matrix product, PyTorch": Rival(
                matrix_product, (FLOP, "torch", "float32"), needs="torch"
            ),
        },
        limits=("matrix product, TensorFlow", "matrix product, PyTorch"),
    ),
    "lenet-bfloat16": Work(
        title="Training LeNet-5, batch 64, mixed_bfloat16",
        rivals={
            PIPELINE: Rival(pipeline, ("mixed_bfloat16", True)),
            f"{PIPELINE} in float32": Rival(pipeline, ("float32", True)),
            "PyTorch by hand, channels last": Rival(torch_loop, ("bfloat16",), needs="torch"),
            "matrix product, TensorFlow": Rival(matrix_product, (FLOP, "tensorflow", "bfloat16")),
            "matrix product, PyTorch": Rival(
                matrix_product, (FLOP, "torch", "bfloat16"), needs="torch"
            ),
        },
        limits=("matrix product, TensorFlow", "matrix product, PyTorch"),
    ),
    "lenet-parts": Work(
        title="Training LeNet-5: what the pipeline does beside Keras's defaults",
        rivals={
            PIPELINE: Rival(pipeline, ("float32", True)),
            "without deterministic operations": Rival(pipeline, ("float32", False)),
            "from arrays in place of its batches": Rival(pipeline, ("float32", True, False)),
            "with one step at a time": Rival(pipeline, ("float32", True, True, 1)),
            "with tf.data's tuning": Rival(pipeline, ("float32", True, True, None, 1)),
            "Keras's defaults, oneDNN on": Rival(keras_defaults, environment=ONEDNN_ON),
        },
        short=False,
    ),
}
