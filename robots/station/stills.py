"""Small pictures of a simulated scene for people, apart from everything that is scored.

The batch thread is never asked and never waits. The world's configuration is read from outside
while it moves, so that a picture may be torn between two physics steps; it is drawn from a model of
its own, on a thread of its own, which exists only once somebody has looked.
"""

import asyncio
import concurrent.futures
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.station.rollout import Rig
from robots.station.tasks import Task
from robots.wire.reception import Refused
from robots.wire.station_replies import CameraFrame

WIDTH, HEIGHT = 96, 72
DRAW_S = 20.0
"""For the first picture, which compiles the scene; later ones take milliseconds."""

Scene = Callable[[], NDArray[np.float64]]


class Stills:
    """Draws the scene on request, one picture at a time."""

    def __init__(self) -> None:
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="stills")
        self._drawing = asyncio.Lock()
        self._studio: Studio | None = None

    async def take(self, rig: Rig | None) -> CameraFrame:
        """The scene as it is now.

        Raises:
            Refused: There is nothing to draw.
        """
        scene: Scene | None = getattr(rig.driver, "scene", None) if rig is not None else None
        if rig is None or scene is None:
            raise Refused("no_camera: this station has no picture to show now")
        if self._drawing.locked():
            raise Refused("busy: a picture is being drawn")
        loop = asyncio.get_running_loop()
        async with self._drawing:
            try:
                async with asyncio.timeout(DRAW_S):
                    return await loop.run_in_executor(self._thread, self._draw, rig.task, scene())
            except TimeoutError:
                raise Refused(f"busy: no picture within {DRAW_S:g} s") from None

    def _draw(self, task: Task, positions: NDArray[np.float64]) -> CameraFrame:
        self._studio = self._studio or Studio(task)
        return self._studio.draw(positions)

    async def close(self) -> None:
        """Free the renderer on the thread that used it."""
        if self._studio is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._studio.close)
        self._thread.shutdown(wait=False, cancel_futures=True)


class Studio:
    """A task's scene through its first camera, for drawing only; used by one thread."""

    def __init__(self, task: Task) -> None:
        # It chooses how to render without a screen, before mujoco is imported.
        from robots.drivers.mujoco import compile_scene

        mujoco: Any = importlib.import_module("mujoco")
        self._forward = mujoco.mj_forward
        named = [each.name for each in task.spec.cameras]
        # A scene without a camera is seen from where MuJoCo's own viewer would begin.
        self._name, self._camera = (named[0], named[0]) if named else ("free", -1)
        self._model = compile_scene(task)
        self._data = mujoco.MjData(self._model)
        self._renderer = mujoco.Renderer(self._model, HEIGHT, WIDTH)

    @property
    def size(self) -> int:
        """Numbers that say where everything is."""
        return int(self._model.nq)

    def draw(self, positions: NDArray[np.float64]) -> CameraFrame:
        """The scene with everything at `positions` (the model's qpos)."""
        self._data.qpos[:] = positions
        self._forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera=self._camera)
        image: NDArray[np.uint8] = self._renderer.render()
        return CameraFrame(
            camera=self._name,
            width=WIDTH,
            height=HEIGHT,
            rgb=np.ascontiguousarray(image).tobytes(),
        )

    def close(self) -> None:
        self._renderer.close()
