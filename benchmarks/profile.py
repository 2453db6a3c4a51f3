"""Where the time of a piece of work goes: `python -m benchmarks.profile [NAME ...]`.

Without names LeNet-5, in both precisions, and the heads. Two looks at one pass each:

- TensorFlow's profiler tells how long each operation took. They run side by side, on several
  threads, so their shares of the pass may add up to more than all of it. What XLA has put together
  stands under its own names.
- oneDNN says of each of its convolutions and matrix products how long it took (ONEDNN_VERBOSE) and
  of what shape it was, hence its rate. Beside it stands the rate of a product of two square
  matrices, in the same process: what the processor can do at most.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import features, heads, lenet, limits
from benchmarks.rounds import PIPELINE

WORKS = lenet.WORKS | heads.WORKS | features.WORKS
NAMES = ("lenet", "lenet-bfloat16", "resnet-head", "vgg-head")
BEGIN, END = "the pass begins", "the pass ends"
LEAST_SHARE = 0.01
PRODUCTS = 10


def one_pass(name: str) -> None:
    """Print what oneDNN says of one pass, the seconds, and the shares of the operations."""
    import tensorflow as tf

    rival = WORKS[name].rivals[PIPELINE]
    images, run = rival.prepare(*rival.arguments)
    precision = "bfloat16" if "bfloat16" in name else "float32"
    products, multiply = limits.matrix_product(1.0, "tensorflow", precision)
    run()
    multiply()
    print(BEGIN, flush=True)
    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    print(f"{END}: {images} images in {seconds} seconds", flush=True)

    started = time.perf_counter()
    for _ in range(PRODUCTS):
        multiply()
    rate = PRODUCTS * products / (time.perf_counter() - started)
    print(f"the machine: {rate / 1e9} GFLOP/s", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            started = time.perf_counter()
            run()
            seconds = time.perf_counter() - started
        for operation, spent in operations(Path(folder)).items():
            if spent / seconds >= LEAST_SHARE:
                print(f"share: {spent / seconds} {operation}", flush=True)


def operations(folder: Path) -> dict[str, float]:
    """How many seconds each kind of operation took, by what TensorFlow's profiler wrote."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(next(folder.rglob("*.xplane.pb")).read_bytes())
    spent: dict[str, float] = defaultdict(float)
    for plane in (each for each in space.planes if "CPU" in each.name):
        names = {number: each.name for number, each in plane.event_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            if kind := kind_of(names[event.metadata_id]):
                spent[kind] += event.duration_ps / 1e12
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def kind_of(name: str) -> str | None:
    """Under which name an event counts; None for what only stands around others."""
    if name == "IteratorGetNextOp::DoCompute":
        return "waiting for a batch"
    if found := re.fullmatch(r"(?:.*/)?(\w+/)?\w+:(\w+)", name):
        return "Adam, all of it" if "adam/" in name else found[2]
    if found := re.fullmatch(r"(MatMul|[a-z_]+_fusion)[\w.]*", name):
        return f"{found[1]}, by XLA"
    return None


def flop(primitive: str, shape: str) -> float:
    """Of one run of a primitive of oneDNN's; 0 for what is neither convolution nor product."""
    if primitive == "convolution":
        # mb64_ic32oc48_ih14oh10kh5sh1dh0ph0_iw14ow10kw5sw1dw0pw0
        size = {key: int(value) for key, value in re.findall(r"([a-z]+)(\d+)", shape)}
        numbers = (size[key] for key in ("mb", "ic", "oc", "oh", "ow", "kh", "kw"))
    elif primitive in ("matmul", "gemm_api"):
        rows, inner, again, columns = map(int, re.findall(r"\d+", shape))
        assert inner == again, shape
        numbers = (rows, inner, columns)
    elif primitive == "inner_product":
        numbers = map(int, re.findall(r"\d+", shape))  # mb64ic1200oc248
    else:
        return 0.0
    product = 2.0
    for number in numbers:
        product *= number
    return product


def show(printed: str) -> None:
    images, seconds = map(
        float, re.search(rf"{END}: (\d+) images in (.*) seconds", printed).groups()
    )
    most = float(re.search(r"the machine: (.*) GFLOP/s", printed)[1])
    print(
        f"{images / seconds:,.0f} images a second; a product of square matrices {most:.0f} GFLOP/s"
    )
    print("  by TensorFlow's profiler:")
    for share, operation in re.findall(r"^share: (\S+) (.*)$", printed, re.MULTILINE):
        print(f"{float(share):9.1%}  {operation}")
    spent: dict[str, float] = defaultdict(float)
    work: dict[str, float] = defaultdict(float)
    for line in printed.partition(BEGIN)[2].partition(END)[0].splitlines():
        # onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx512_core,backward_data,...,0.12
        fields = line.split(",")
        if "exec" in fields:
            primitive, _, direction = fields[(at := fields.index("exec") + 2) : at + 3]
            shape = fields[-2]
            computed = flop(primitive, shape)
            name = " ".join((primitive, direction, shape)) if computed else "other primitives"
            spent[name] += float(fields[-1]) / 1000
            work[name] += computed
    print("  by oneDNN:")
    for name, part in sorted(spent.items(), key=lambda item: -item[1]):
        rate = work[name] / part / 1e9
        if part / seconds >= LEAST_SHARE:
            told = f"{rate:5.0f} GFLOP/s, {rate / most:4.0%}" if rate else " " * 19
            print(f"{part / seconds:9.1%}  {told}  {name}")
    print(f"{1 - sum(spent.values()) / seconds:9.1%}  outside oneDNN")


def main() -> None:
    names = sys.argv[1:] or NAMES
    if unknown := sorted(set(names) - set(WORKS)):
        sys.exit(f"profile: error: no work {', '.join(unknown)}; there are {', '.join(WORKS)}")
    for name in names:
        command = [
            sys.executable,
            "-c",
            f"from benchmarks import profile; profile.one_pass({name!r})",
        ]
        environment = os.environ | {"ONEDNN_VERBOSE": "1", "TF_ENABLE_ONEDNN_OPTS": "1"}
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"profile: error: {name} failed:\n{done.stderr}")
        print(f"{WORKS[name].title}: ", end="")
        show(done.stdout)


if __name__ == "__main__":
    main()
