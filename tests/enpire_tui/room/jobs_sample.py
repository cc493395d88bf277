"""Hand-made training jobs in every state, the same every time."""

import random

from enpire_tui.room.box_watch import BoxWatch
from enpire_tui.room.training import JobDetail, Jobs, JobSeen
from recipes.jobs.records import JobState, JobStatus, Use
from tests.enpire_tui.room.sample import START_WALL_S, SampleClock

GIB = 1 << 30


def progress(step: int, steps: int, rate_hz: float, **figures: float) -> dict[str, float | str]:
    left = (steps - step) / rate_hz
    row = {"kind": "progress", "wall_s": START_WALL_S, "step": step, "steps": steps}
    return {**row, "rate_hz": rate_hz, "seconds_left": left, **figures}


def use(number: int) -> Use:
    rng = random.Random(number)
    busy = 0.86 + 0.12 * rng.random() if number % 9 else 0.2
    memory = (31 << 30) + number * (1 << 24)
    return Use(
        wall_s=START_WALL_S + 2.0 * number,
        cpus=round(3.2 + 0.9 * rng.random(), 3),
        gpus=((busy, memory),),
    )


JOBS = (
    JobSeen(
        "gpu1",
        JobStatus(
            job_id="push_t-act-0921-0904-7c1e",
            state=JobState.SUCCEEDED,
            seconds=4212.0,
            progress=progress(20_000, 20_000, 4.75, loss=0.0163, held_out=0.0241),
            recipe="bc_act",
            checkpoints=("best.safetensors", "last.safetensors"),
            policy=("policy.safetensors",),
        ),
    ),
    JobSeen(
        "local",
        JobStatus(
            job_id="push_t-residual-0921-0940-02fa",
            state=JobState.FAILED,
            detail="exited with 1: RuntimeError: the reward is not finite",
            seconds=188.0,
            progress=progress(410, 4000, 2.2, loss=3.41),
            recipe="residual_rl",
        ),
    ),
    JobSeen(
        "gpu1",
        JobStatus(
            job_id="push_t-diffusion-0921-1002-b7d3",
            state=JobState.RUNNING,
            seconds=2263.0,
            progress=progress(11_650, 40_000, 5.21, loss=0.0117, held_out=0.0196),
            recipe="bc_diffusion",
            checkpoints=("000008000.safetensors", "last.safetensors", "best.safetensors"),
            use=use(119),
        ),
    ),
    JobSeen(
        "cluster",
        JobStatus(
            job_id="push_t-flow-0921-1011-9a40",
            state=JobState.UNKNOWN,
            detail="last known: running",
            progress=progress(900, 40_000, 3.1, loss=0.21),
            recipe="bc_flow",
        ),
    ),
    JobSeen(
        "gpu1",
        JobStatus(
            job_id="push_t-diffusion-0921-1012-e211",
            state=JobState.QUEUED,
            detail="queued",
            recipe="bc_diffusion",
        ),
    ),
    JobSeen(
        "local",
        JobStatus(
            job_id="push_t-act-0921-1013-51c0",
            state=JobState.CANCELLED,
            detail="cancelled",
            seconds=64.0,
            progress=progress(120, 4000, 2.0, loss=0.8),
            recipe="bc_act",
        ),
    ),
)


def detail() -> JobDetail:
    """Of the job that runs: a loss that falls, a held-out one that stops falling."""
    found, rng = JobDetail("gpu1", "push_t-diffusion-0921-1002-b7d3"), random.Random(3)
    for step in range(50, 11_700, 50):
        loss = 0.011 + 0.9 * 2.0 ** (-step / 700.0) * (1.0 + 0.25 * rng.uniform(-1, 1))
        loss *= 1.0 + 0.1 * rng.uniform(-1, 1)
        figures = {"loss": loss}
        if step % 500 == 0:
            figures["held_out"] = 0.0188 + 0.9 * 2.0 ** (-step / 800.0)
        found.take_row(progress(step, 40_000, 5.21, **figures))
    for number in range(120):
        found.take_use(use(number))
    for step in range(9_000, 11_700, 500):
        found.take_console(
            f"step {step}: loss {0.0117 + (11_700 - step) * 1e-6:.4f}, "
            f"held out 0.0196, {step // 500} checkpoints kept\n"
        )
    found.take_console("\x1b[32mwrote\x1b[0m out/checkpoints/best.safetensors\n")
    return found


class SampleBoxes(BoxWatch):
    """Boxes that were asked once; one of them cannot be reached."""

    def __init__(self, jobs: tuple[JobSeen, ...] = JOBS) -> None:
        super().__init__(dict, SampleClock())
        faults = {"cluster": "cluster: connection lost; it is tried again"} if jobs else {}
        self._told = Jobs(jobs, faults, detail(), asked=True)

    async def run(self) -> None:
        """Nobody is asked."""

    def jobs(self) -> Jobs:
        return self._told
