"""Measure reading and converting the largest network of the series, ours against `paddle.load`: time and peak memory.

    python -m studies.read_pdparams results/read_pdparams_cpu_DATE.json

The file is SENet154_vd with the golden weights, written by the real `paddle.save`. Each reading happens in a fresh
process with the file in the page cache; the readers take turns, so that whatever else the machine does meets all.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

NETWORK = "SENet154_vd"

PROTOCOLS = (4, 2)

READ_OURS = """
from resnexus.weights.pdparams import read_pdparams
read = lambda: read_pdparams(path)
size = lambda result: sum(array.nbytes for array in result.values())
"""

READ_PADDLE = """
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import paddle
read = lambda: paddle.load(path, return_numpy=RETURN_NUMPY)
size = lambda result: sum(int(entry.size) * 4 for entry in result.values())  # all float32
"""

CONVERT_OURS = """
import tempfile
from resnexus.weights.convert import convert
target = tempfile.NamedTemporaryFile(suffix=".safetensors").name
read = lambda: convert(path, target)
size = lambda result: pathlib.Path(target).unlink() or 0  # nothing stays in memory
"""

READERS = {
    "resnexus": READ_OURS,
    "resnexus convert": CONVERT_OURS,
    "paddle.load, arrays": READ_PADDLE.replace("RETURN_NUMPY", "True"),
    "paddle.load, tensors": READ_PADDLE.replace("RETURN_NUMPY", "False"),
}

# Memory is touched and given back just before: a first touch of a page of a virtual machine may cost its host far more
# than the reading. Writing 5 to clear_refs sets the high-water mark of the resident memory (VmHWM) back to the present.
MEASURE = """
import gc, json, pathlib, sys, time
import numpy
path = sys.argv[1]
def kib(field):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition(field + ":")[2].split()[0])
{reader}
gc.collect()
numpy.ones(3 * pathlib.Path(path).stat().st_size // 2, numpy.uint8)
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = kib("VmRSS")
start, cpu_start = time.perf_counter(), time.process_time()
result = read()
seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
peak = kib("VmHWM")
figures = {{"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": (peak - before) * 1024}}
print(json.dumps(figures | {{"result_bytes": size(result)}}))
"""

WRITE = """
import sys, warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import paddle
from resnexus.architectures.catalog import architecture
from resnexus.parity.golden import golden_weights
from resnexus.models import create_model
from resnexus.weights.mapping import to_paddle
model = create_model(sys.argv[1])
shapes = {name: array.shape for name, array in to_paddle(sys.argv[1], model.state_dict()).items()}
state = {name: paddle.to_tensor(array) for name, array in golden_weights(shapes).items()}
paddle.save(state, sys.argv[2], protocol=int(sys.argv[3]))
"""


def run(code: str, *arguments: str) -> str:
    """Run Python code in a fresh process and return what it prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def measure(path: Path, repeats: int, readers: list[str]) -> dict[str, object]:
    """Return time and memory of every reader on one file."""
    path.read_bytes()  # into the page cache
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in readers}
    for repeat in range(repeats + 1):
        for name in readers:
            result = json.loads(run(MEASURE.format(reader=READERS[name]), str(path)).splitlines()[-1])
            if repeat:  # the first round warms up
                runs[name].append(result)
    return {name: summary(results, path.stat().st_size) for name, results in runs.items()}


def summary(runs: list[dict[str, float]], file_bytes: int) -> dict[str, object]:
    """Return median and spread of the times, and the largest memory seen."""
    peak, result = max(run["peak_bytes"] for run in runs), runs[0]["result_bytes"]
    return {
        "time_ms": spread([1e3 * run["seconds"] for run in runs]),
        "processor_time_ms": spread([1e3 * run["cpu_seconds"] for run in runs]),
        "result_bytes": result,
        "peak_bytes": peak,
        "peak_beyond_result_per_file": round((peak - result) / file_bytes, 3),
    }


def spread(values: list[float]) -> dict[str, object]:
    """Return median, quartiles and minimum, and every value in the order measured."""
    low, _, high = statistics.quantiles(values, n=4)
    return {
        "median": round(statistics.median(values), 1),
        "quartiles": [round(low, 1), round(high, 1)],
        "minimum": round(min(values), 1),
        "all": [round(value, 1) for value in values],
    }


def environment() -> dict[str, object]:
    """Return what the figures depend on."""
    info = Path("/proc/cpuinfo").read_text()
    memory = Path("/proc/meminfo").read_text()
    return {
        "cpu": info.partition("model name")[2].partition("\n")[0].lstrip("\t :"),
        "cores": os.cpu_count(),
        "load_average_before": round(os.getloadavg()[0], 1),
        "memory_gib": round(int(memory.partition("MemTotal:")[2].split()[0]) / 2**20, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("numpy", "torch", "paddlepaddle")},
    }


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description="Measure reading a .pdparams file, ours against paddle.load.")
    parser.add_argument("output", type=Path, help="JSON record to write")
    parser.add_argument("--repeats", type=int, default=9, help="readings of each reader (default 9)")
    parser.add_argument("--reader", action="append", choices=READERS, help="measure this one; all if left out")
    options = parser.parse_args()
    conditions = environment()
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for protocol in PROTOCOLS:
            path = Path(folder, f"protocol{protocol}.pdparams")
            run(WRITE, NETWORK, str(path), str(protocol))
            readers = measure(path, options.repeats, options.reader or list(READERS))
            files.append({"protocol": protocol, "file_bytes": path.stat().st_size, "readers": readers})
            for name, figures in readers.items():
                print(f"protocol {protocol}  {name:22}", json.dumps(figures))
    record = {
        "what": f"reading {NETWORK}, 122 M parameters, written by paddle.save",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "environment": conditions,
        "repeats": options.repeats,
        "warm_up": 1,
        "order": "readers take turns, each in a fresh process, file in the page cache, imports not counted",
        "memory": "peak resident memory during the reading, less that before it; largest of all repeats",
        "files": files,
    }
    partial = options.output.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(partial, options.output)


if __name__ == "__main__":
    main()
