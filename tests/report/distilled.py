"""A run of `resnexus distill` for the tests of its page."""

from resnexus.benchmark.environment import Environment
from resnexus.report.distillation_record import (
    DistillationRun,
    PoolCounts,
    SeedResult,
    Shown,
    Stage,
    TeacherResult,
)

MACHINE = Environment(
    date="2026-01-02T03:04:05+00:00", cpu="A CPU", cores=2, threads=2, memory_gib=8.0, gpu=None, system="Linux",
    python="3.11.0", packages={"torch": "2.0"},
)  # fmt: skip


POOL = PoolCounts(
    pictures=50, unreadable=1, duplicates=2, unsure=4, surplus=3, mined=40, min_confidence=0.5, most=30,
    per_class={"cat": 30, "<dog>": 10},
)  # fmt: skip


def stage(name, *top1, title="", size=32):
    results = tuple(SeedResult(seed=seed, top1=value, images=200, seconds=3.0) for seed, value in enumerate(top1))
    return Stage(name=name, title=title or name.capitalize(), what=f"what {name} is", size=size, results=results)


def build(*stages, **changes):
    found = {
        "config": "own",
        "data": "digits",
        "classes": 2,
        "labelled": 20,
        "val": 200,
        "pool": POOL,
        "teacher": TeacherResult(name="Big", learned="It saw the same labels.", top1=0.91, images=200),
        "student": "Small",
        "gflops": 0.5,
        "mparams": 1.5,
        "stages": stages or (stage("baseline", 0.8, 0.82, 0.81), stage("stage1", 0.85, 0.87, 0.86)),
        "mined": (Shown(name="a&b.png", why="cat, 90 % sure", src="data:image/png;base64,AAAA"),),
        "dropped": (),
        "weights": {"0": "steps/x/last.safetensors"},
        "settings": {"loss": "kl", "near_duplicates_left_out": True},
        "seconds": {"teacher": 4.0},
        "environment": MACHINE,
    }
    return DistillationRun(**found | changes)
