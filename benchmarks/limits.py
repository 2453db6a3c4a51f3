"""What the machine can do at most, in the unit of the work beside which it stands."""

from benchmarks.rounds import Pass

SIDE = 2048
COPIED = 2**26  # numbers of four bytes, far more than a cache holds


def matrix_product(flop: float, package: str, dtype: str) -> Pass:
    """As many images as products of square matrices have their arithmetic.

    Args:
        flop: of one image.
    """
    images = 2 * SIDE**3 / flop
    if package == "torch":
        import torch

        a, b = (torch.randn(SIDE, SIDE, dtype=getattr(torch, dtype)) for _ in range(2))
        return images, lambda: a @ b
    import os

    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    import tensorflow as tf

    # With a seed of its own: where operations are deterministic, TensorFlow asks for one.
    a, b = (
        tf.cast(tf.random.stateless_normal((SIDE, SIDE), (0, seed)), dtype) for seed in range(2)
    )
    product = tf.function(lambda: tf.linalg.matmul(a, b))
    return images, lambda: product().numpy()


def layers_products(shapes: list[tuple[int, int]], batch: int) -> Pass:
    """The matrix products of a training step through dense layers, and nothing else, in PyTorch.

    Three for each layer: its outputs, the gradient of its inputs, which the first layer needs not,
    and that of its weights.

    Args:
        shapes: inputs and outputs of each layer.
        batch: images in a step.
    """
    import torch

    operands = []
    for inputs, outputs in shapes:
        x, y = torch.randn(batch, inputs), torch.randn(batch, outputs)
        weights = torch.randn(inputs, outputs)
        # What the gradient of the weights is written to is there already.
        operands.append((x, weights, y, torch.empty(inputs, outputs)))

    @torch.inference_mode()
    def multiply() -> None:
        for number, (x, weights, y, gradient) in enumerate(operands):
            torch.mm(x, weights)
            if number:
                torch.mm(y, weights.T)
            torch.mm(x.T, y, out=gradient)

    return batch, multiply


def memory(bytes_an_image: float) -> Pass:
    """As many images as a copy in memory moves their bytes, read and written.

    Args:
        bytes_an_image: that training one image reads and writes.
    """
    import os
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    source, target = np.ones(COPIED, np.float32), np.empty(COPIED, np.float32)
    threads = os.cpu_count() or 1
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    pool = ThreadPoolExecutor(threads)

    def copy() -> None:
        list(pool.map(lambda part: np.copyto(*part), parts))

    return 2 * source.nbytes / bytes_an_image, copy
