"""What a careful person would write by hand: a plain process that loads a model, warms up, loops and prints its p50.

Usage: ``python bare_loop.py ENGINE ARTIFACT DATA CORES SECONDS BATCH``. It imports nothing of Joulemark's but, for
torch, the network's own class.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

engine, artifact, data, cores, seconds, batch = sys.argv[1:]
pinned = {int(core) for core in cores.split(",")}
os.sched_setaffinity(0, pinned)

import numpy as np  # noqa: E402 - pinned before any runtime loads

images = np.load(data)["input:image"]
feeds = [np.ascontiguousarray(images[i : i + int(batch)]) for i in range(0, 64 * int(batch), int(batch))][:64]
if engine == "onnxruntime":
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = len(pinned), 1
    session = ort.InferenceSession(str(Path(artifact) / "model.onnx"), options, providers=["CPUExecutionProvider"])

    names = [output.name for output in session.get_outputs()]
    feeds = [{"image": feed} for feed in feeds]

    def query(feed: Any) -> Any:
        return session.run(names, feed)

else:
    import torch
    from safetensors.torch import load_model

    from scenarios.workloads.digits_cnn import make_network

    torch.set_num_threads(len(pinned))
    module = make_network().eval()
    load_model(module, str(Path(artifact) / "weights.safetensors"))
    feeds = [torch.from_numpy(feed) for feed in feeds]

    def query(image: Any) -> Any:
        with torch.inference_mode():
            return module(image)


def loop(duration_s: float) -> list[int]:
    taken: list[int] = []
    ends = time.perf_counter() + duration_s
    while time.perf_counter() < ends:
        for feed in feeds:
            began = time.perf_counter_ns()
            query(feed)
            taken.append(time.perf_counter_ns() - began)
    return taken


loop(0.2)
print(sorted(taken := loop(float(seconds)))[len(taken) // 2])
