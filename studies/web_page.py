"""Time the web page of some networks in Chromium against ONNX Runtime itself, on one thread each, in turns.

    python -m studies.web_page results/web_page_cpu_DATE.json

Needs Chromium and Playwright (`pip install playwright`). The weights are the golden ones; the pictures are noise.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch
from PIL import Image

from resnexus.architectures.catalog import architecture
from resnexus.artefacts.export import export
from resnexus.artefacts.web.format import WebFormat, embedded_model
from resnexus.artefacts.web.runtime import VERSION
from resnexus.benchmark.environment import environment
from resnexus.data.preprocess import Preprocess
from resnexus.packages import required
from resnexus.parity.golden import golden_network
from resnexus.records import write_json

NETWORKS = ("SE_ResNet18_vd", "ResNeXt50_32x4d", "Res2Net50_26w_4s", "SE_ResNeXt50_32x4d")
_ANSWERED = re.compile(r"answered in ([\d.]+) (ms|s)")


@contextmanager
def page_timer(page: Path, picture: Path) -> Iterator[Callable[[], float]]:
    """Give a function that has the page answer for a picture and returns the milliseconds that the page says."""
    with required("playwright.sync_api").sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
        view = browser.new_page()
        view.set_default_timeout(300_000)
        view.goto(page.as_uri())
        view.wait_for_selector("body[data-ready]")

        def answer() -> float:
            view.set_input_files("#files", [str(picture)])
            view.wait_for_selector(".class")
            found = _ANSWERED.search(view.locator(".note").first.inner_text())
            view.locator("#clear").click()
            if found is None:
                raise RuntimeError("the page does not say how long it took")
            return float(found[1]) * (1000 if found[2] == "s" else 1)

        yield answer
        browser.close()


def native_timer(model: bytes, image: torch.Tensor) -> Callable[[], float]:
    """Return a function that answers with ONNX Runtime on one thread and returns the milliseconds."""
    onnxruntime = required("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: image[None].numpy()}

    def answer() -> float:
        start = time.perf_counter()
        session.run(None, inputs)
        return 1000 * (time.perf_counter() - start)

    return answer


def measured(name: str, rounds: int, folder: Path) -> dict[str, Any]:
    """Return the figures of one network, in milliseconds for one picture."""
    preprocess = Preprocess()
    page = folder / f"{name}.html"
    export(golden_network(architecture(name)), page, format=WebFormat(single_file=True))
    picture = folder / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)).save(picture)
    native = native_timer(embedded_model(page), preprocess(picture))
    times: dict[str, list[float]] = {"page": [], "native": []}
    with page_timer(page, picture) as in_page:
        for warming in (in_page, native):
            warming()
        for _ in range(rounds):
            times["page"].append(in_page())
            times["native"].append(native())
    return {"name": name, "page_bytes": page.stat().st_size} | {
        f"{side}_ms": {"median": median(found), "quartiles": quantiles(found, n=4)[::2]}
        for side, found in times.items()
    }


def table(record: dict[str, Any]) -> str:
    """Return a record as a table in Markdown."""
    machine = record["environment"]
    lines = [
        f"One picture of 224 x 224, float32, one thread, golden weights; {machine['cpu']}, Chromium "
        f"{record['chromium']}, ONNX Runtime Web {record['runtime']}, ONNX Runtime "
        f"{machine['packages']['onnxruntime']}; medians of {record['rounds']} in turns, quartiles in brackets.",
        "",
        "| network | page, ms | ONNX Runtime, ms | ratio | single file, MB |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for row in record["networks"]:
        cells = [_cell(row["page_ms"]), _cell(row["native_ms"])]
        ratio = row["page_ms"]["median"] / row["native_ms"]["median"]
        lines.append(f"| {row['name']} | {' | '.join(cells)} | {ratio:.1f} | {row['page_bytes'] / 1e6:.0f} |")
    return "\n".join(lines)


def section() -> str:
    """Return the newest record as the table of docs/web.md."""
    *_, newest = sorted((Path(__file__).parents[1] / "results").glob("web_page_cpu_*.json"))
    return table(json.loads(newest.read_text("utf-8"))) + "\n"


def _cell(found: dict[str, Any]) -> str:
    low, high = found["quartiles"]
    return f"{found['median']:.0f} ({low:.0f} to {high:.0f})"


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="JSON record to write")
    parser.add_argument("--rounds", type=int, default=10, help="in which both take turns")
    arguments = parser.parse_args()
    record: dict[str, Any] = {"runtime": VERSION, "rounds": arguments.rounds, "networks": []}
    with required("playwright.sync_api").sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
        record["chromium"] = browser.version
        browser.close()
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            record["networks"].append(measured(name, arguments.rounds, Path(folder)))
            record["environment"] = asdict(environment())
            write_json(record, arguments.output)
            print(table(record).splitlines()[-1], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
