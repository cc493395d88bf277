"""Whether a machine can run a fleet: each finding says what is missing and how to get it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from robots.wire.records import Frozen

LEAST_PYTHON = (3, 11)
LEAST_DISK_BYTES = 2 << 30
PROBE_S = 20.0

_RENDER = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
with mujoco.Renderer(model, 48, 64) as renderer:
    mujoco.mj_forward(model, data)
    renderer.update_scene(data)
    assert renderer.render().shape == (48, 64, 3)
"""


class Finding(Frozen):
    """One thing that was looked at.

    Attributes:
        required: Without it no simulated fleet runs here.
        remedy: What to do, "" where all is well.
    """

    name: str
    ok: bool
    required: bool
    detail: str
    remedy: str = ""


def examine(home: Path) -> tuple[Finding, ...]:
    """Looks at everything a fleet needs on this machine."""
    return (
        _python(),
        _sandbox(),
        _rendering(),
        _program("git", "Git of the research repository", required=True),
        _program("sshd", "OpenSSH's server, for stations on other hosts", required=False),
        _disk(home),
        _cores(),
    )


def text(findings: tuple[Finding, ...]) -> str:
    """The findings for a person."""
    lines: list[str] = []
    for each in findings:
        word = "ok" if each.ok else ("MISSING" if each.required else "absent")
        lines.append(f"{word:8} {each.name:10} {each.detail}")
        if each.remedy:
            lines.append(f"{'':19} {each.remedy}")
    return "\n".join(lines) + "\n"


def _python() -> Finding:
    found = sys.version_info[:3]
    ok = found[:2] >= LEAST_PYTHON
    return Finding(
        name="python",
        ok=ok,
        required=True,
        detail=f"Python {'.'.join(map(str, found))}",
        remedy="" if ok else "install Python 3.11 or later",
    )


def _sandbox() -> Finding:
    from robots.sandbox.availability import probe

    found = probe()
    detail = "sandboxes work" if found.usable else found.reason
    if found.usable and found.weaknesses:
        detail += f" ({'; '.join(found.weaknesses)})"
    remedy = "" if found.usable else "install bubblewrap and allow user namespaces"
    return Finding(name="sandbox", ok=found.usable, required=True, detail=detail, remedy=remedy)


def _rendering() -> Finding:
    if importlib.util.find_spec("mujoco") is None:
        return Finding(
            name="rendering",
            ok=False,
            required=True,
            detail="mujoco is not installed",
            remedy="pip install 'enpire-tui[sim]'",
        )
    environment = {**os.environ, "MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl")}
    try:
        # A process of its own: a missing library ends it, not us.
        done = subprocess.run(
            [sys.executable, "-c", _RENDER],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        said, ok = "rendering took too long", False
    else:
        ok = done.returncode == 0
        last = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        said = f"MuJoCo renders by {environment['MUJOCO_GL']}" if ok else last[0]
    remedy = "" if ok else "install Mesa's EGL (libegl1, libgl1-mesa-dri), or set MUJOCO_GL"
    return Finding(name="rendering", ok=ok, required=True, detail=said, remedy=remedy)


def _program(name: str, what: str, *, required: bool) -> Finding:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    return Finding(
        name=name,
        ok=path is not None,
        required=required,
        detail=path or f"not found: {what}",
        remedy="" if path else f"install {name}",
    )


def _disk(home: Path) -> Finding:
    place = home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    ok = free >= LEAST_DISK_BYTES
    return Finding(
        name="disk",
        ok=ok,
        required=True,
        detail=f"{free / 2**30:.1f} GiB free at {place}",
        remedy="" if ok else f"free {LEAST_DISK_BYTES / 2**30:.0f} GiB, or choose another --home",
    )


def _cores() -> Finding:
    count = len(os.sched_getaffinity(0))
    return Finding(name="cores", ok=True, required=False, detail=f"{count} usable")
