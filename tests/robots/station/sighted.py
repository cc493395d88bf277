"""The test task with a camera over a table that has marks on it, and one that can be knocked."""

import shutil
from pathlib import Path

from tests.robots.station.scripted import REACH

MARKS = "".join(
    f'<geom type="cylinder" size="0.03 0.001" pos="{x} {y} 0.001" rgba="0 0 0 1"/>'
    for x, y in ((-0.3, -0.25), (0.3, -0.25), (-0.3, 0.25), (0.3, 0.25), (0.1, 0.3))
)
CAMERA = '[[cameras]]\nname = "top"\nheight = 48\nwidth = 64\n'
KNOCKED = """
    def randomise(self, model, data, rng):
        if os.path.exists(KNOCK):
            model.cam_pos[0, 0] = 0.05
"""


def with_a_camera(folder: Path) -> Path:
    """The test task, seen from above."""
    shutil.copytree(REACH, folder, ignore=shutil.ignore_patterns("__pycache__"))
    scene = (folder / "scene.xml").read_text()
    (folder / "scene.xml").write_text(scene.replace("<body name", MARKS + "<body name", 1))
    with (folder / "task.toml").open("a") as file:
        file.write(CAMERA)
    return folder


def with_a_knock(folder: Path, knock: Path) -> Path:
    """The same; its camera hangs 50 mm aside as soon as there is a file `knock`."""
    with_a_camera(folder)
    source = (folder / "simulation.py").read_text()
    head = "\n    def randomise(self, model, data, rng):\n"
    assert head in source
    source = source.replace(
        "import math\n", f"import math\nimport os\n\nKNOCK = {str(knock)!r}\n", 1
    )
    (folder / "simulation.py").write_text(source.replace(head, KNOCKED, 1))
    return folder
