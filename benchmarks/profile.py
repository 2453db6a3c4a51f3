"""Where an epoch of LeNet-5 goes: `python -m benchmarks.profile`.

oneDNN says how long each of its primitives took (ONEDNN_VERBOSE); what is left of the epoch is
TensorFlow's own kernels, Keras's loop and the batches. With work beside, all of it is longer.
"""

import os
import re
import subprocess
import sys
import time
from collections import defaultdict

BEGIN = "the epoch begins"


def epoch() -> None:
    from benchmarks import lenet

    images, run = lenet.pipeline("float32", deterministic=True)
    run()
    print(BEGIN, flush=True)
    started = time.perf_counter()
    run()
    print(f"{images} images {time.perf_counter() - started} seconds", flush=True)


def main() -> None:
    if len(sys.argv) > 1:
        epoch()
        return
    command = [sys.executable, "-m", "benchmarks.profile", "epoch"]
    environment = os.environ | {"ONEDNN_VERBOSE": "1", "TF_ENABLE_ONEDNN_OPTS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    printed = done.stdout.partition(BEGIN)[2]
    images, seconds = map(float, re.search(r"(\d+) images ([\d.]+) seconds", printed).groups())
    spent: dict[str, float] = defaultdict(float)
    for line in printed.splitlines():
        # onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx512_core,backward_data,...,0.12
        fields = line.split(",")
        if "exec" in fields:
            at = fields.index("exec")
            shape = fields[-2] if fields[at + 2] == "convolution" else ""
            spent[" ".join((*fields[at + 2 : at + 5], shape))] += float(fields[-1]) / 1000
    print(f"{images / seconds:,.0f} images a second")
    for name, part in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{part / seconds:7.1%}  {name}")
    print(f"{1 - sum(spent.values()) / seconds:7.1%}  outside oneDNN")


if __name__ == "__main__":
    main()
