"""docs/speed.md and docs/latencies.md say what the records in results/ say.

After new measurements write the pages anew: RESNEXUS_WRITE_DOCS=1 pytest tests/test_speed_docs.py
"""

import json
import os
import re
from pathlib import Path

import pytest

from resnexus.benchmark.bench import Bench
from resnexus.records import read_json
from studies.compile_kernels import CompiledKernels
from studies.engine_memory import EngineMemory
from studies.gpu_page import gpu_section, read_records
from studies.kernels_page import compiled_section
from studies.speed_page import charts, sections
from studies.worth import Worths

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "docs" / "speed.md", ROOT / "docs" / "latencies.md")
WRITE = bool(os.environ.get("RESNEXUS_WRITE_DOCS"))


def records(kind, pattern):
    return [read_json(kind, path) for path in sorted((ROOT / "results").glob(pattern))]


def siblings():
    """The section on accuracy, from its record."""
    (path,) = (ROOT / "results").glob("quantised_siblings_*.json")
    record = json.loads(path.read_text())
    machine = record["environment"]
    lines = [
        f"The small siblings of `resnexus compare` on the digits, {record['epochs']} epochs, three seeds each; "
        f"{record['validation_images']} validation images, so one image is {record['points_per_image']:.2f} points; "
        f"int8 calibrated with {record['calibration_images']} training images. {machine['cpu']}, OpenVINO "
        f"{machine['packages']['openvino']}. Lost and gained count the images that only the plain network, or only the "
        "engine, has right.",
        "",
        "| Siblings | Precision | top-1 fp32, % | loss, points | standard error | lost / gained | smallest cosine |",
        "| :-- | :-- | --: | --: | --: | --: | --: |",
    ]
    for precision, kinds in record["summary"].items():
        for kind, found in kinds.items():
            lines.append(
                f"| {kind} | {precision} | {found['top1_fp32_mean']:.2f} | {found['loss_points_mean']:+.3f} "
                f"| {found['loss_points_standard_error']:.3f} | {found['lost']} / {found['gained']} "
                f"| {found['cosine_smallest']:.4f} |"
            )
    return "\n".join(lines)


def test_the_pages_are_written_from_the_records():
    benches = records(Bench, "bench_cpu_*.json")
    engines, worths = records(Bench, "engines_cpu_*.json"), records(Worths, "rewrites_cpu_*.json")
    maps, memory = records(Bench, "maps_cpu_*.json"), records(EngineMemory, "engine_memory_cpu_*.json")
    found = sections(benches, engines, maps, memory, worths) | {"siblings": siblings()}
    (compiled,) = records(CompiledKernels, "gpu_kernels_compiled_*.json")
    found["kernels"] = compiled_section(compiled)
    found["gpu"] = gpu_section(read_records(ROOT / "results"))
    assert benches
    marked = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    names = []
    for page in PAGES:
        text = page.read_text()
        names += [mark[2] for mark in marked.finditer(text)]
        written = marked.sub(lambda mark: f"{mark[1]}\n{found[mark[2]]}\n\n{mark[3]}", text)
        if WRITE:
            page.write_text(written)
        else:
            assert text == written
    assert sorted(names) == sorted(found)


@pytest.mark.thorough
def test_the_charts_are_drawn_from_the_records():
    pytest.importorskip("vl_convert", reason="figures need vl-convert: pip install 'resnexus[report]'")
    drawn = {name: svg for bench in records(Bench, "bench_cpu_*.json") for name, svg in charts(bench).items()}
    folder = ROOT / "docs" / "figures"
    if WRITE:
        folder.mkdir(exist_ok=True)
        for name, svg in drawn.items():
            (folder / name).write_text(svg)
    assert {path.name for path in folder.glob("penalty_*.svg")} == set(drawn)
    text = PAGES[0].read_text()
    for name in drawn:
        assert f"figures/{name}" in text
