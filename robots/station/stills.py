"""Small pictures of a simulated scene for people, apart from everything that is scored.

The batch thread is never asked and never waits. The world's configuration is read from outside
while it moves, so that a picture may be torn between two physics steps; it is drawn from a model of
its own, on a thread of its own, which exists only once somebody has looked.
"""

import asyncio
import concurrent.futures
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.station.cameras import CameraSpec
from robots.station.png import png, shrunk
from robots.station.recording import Moment
from robots.station.rollout import Rig
from robots.station.tasks import Task
from robots.wire.commands import GetFrames
from robots.wire.reception import Refused
from robots.wire.records import Episode
from robots.wire.station_replies import CameraFrame, EpisodeFrame, EpisodeFrames

WIDTH, HEIGHT = 96, 72
FREE = "free"
"""What a scene without a camera is said to be seen through."""

FRAME_WIDTH = 320
"""Pixels that an approval's picture is wide at most; a path can be seen on it, and it travels."""

EPISODE_WIDTH = 512
"""Pixels that a picture of an episode is wide at most: what a model that sees is given."""

MOST_FRAMES = 6

DRAW_S = 20.0
"""For the first picture, which compiles the scene; later ones take milliseconds."""

Positions = Callable[[], NDArray[np.float64]]


def frame_size(camera: CameraSpec) -> tuple[int, int]:
    """Height and width of a camera's picture in an approval."""
    step = max(1, -(-camera.width // FRAME_WIDTH))
    return -(-camera.height // step), -(-camera.width // step)


def frame_of(name: str, image: NDArray[np.uint8]) -> CameraFrame:
    """A camera's picture for an approval: every so many pixels of what the verifier sees."""
    small = shrunk(image, FRAME_WIDTH)
    return CameraFrame(
        camera=name, width=small.shape[1], height=small.shape[0], rgb=small.tobytes()
    )


def chosen(moments: Sequence[Moment], asked: GetFrames) -> list[Moment]:
    """Moments of an episode that are to be drawn, in the order of time.

    A world that diverged cannot be drawn: such moments count for nothing.
    """
    sound = [each for each in moments if np.isfinite(each.positions).all()]
    if not sound:
        return []
    if asked.steps:
        steps = np.array([each.step for each in sound])
        nearest = {int(np.argmin(np.abs(steps - step))) for step in asked.steps[:MOST_FRAMES]}
        return [sound[number] for number in sorted(nearest)]
    count = min(max(1, asked.count), MOST_FRAMES, len(sound))
    if not asked.spread or count == 1:
        return sound[-count:]
    spread = np.linspace(0, len(sound) - 1, count).round().astype(int)
    return [sound[number] for number in spread]


class Stills:
    """Draws the scene on request, one picture at a time."""

    def __init__(self) -> None:
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="stills")
        self._drawing = asyncio.Lock()
        self._studio: Studio | None = None
        self._cinema: Studio | None = None

    async def take(self, rig: Rig | None) -> CameraFrame:
        """The scene as it is now.

        Raises:
            Refused: There is nothing to draw.
        """
        scene: Positions | None = getattr(rig.driver, "scene", None) if rig is not None else None
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

    async def frames(
        self, rig: Rig | None, asked: GetFrames, episode: Episode, moments: Sequence[Moment]
    ) -> EpisodeFrames:
        """Pictures of an episode, from where everything was.

        Raises:
            Refused: There is nothing to draw, or no such camera.
        """
        drawn = chosen(moments, asked)
        if rig is None or not drawn:
            raise Refused("no_frames: the world diverged, and nothing of it can be drawn")
        names = [each.name for each in rig.task.spec.cameras]
        if asked.camera and asked.camera not in names:
            raise Refused(f"no_camera: {asked.camera!r}; there are {', '.join(names) or 'none'}")
        camera = asked.camera or next(iter(names), FREE)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DRAW_S), self._drawing:
                frames = await loop.run_in_executor(
                    self._thread, self._draw_episode, rig.task, camera, drawn
                )
        except TimeoutError:
            raise Refused(f"busy: no pictures within {DRAW_S:g} s") from None
        return EpisodeFrames(batch_id=asked.batch_id, episode=episode, camera=camera, frames=frames)

    def _draw_episode(
        self, task: Task, camera: str, moments: Sequence[Moment]
    ) -> tuple[EpisodeFrame, ...]:
        if self._cinema is None or camera != self._cinema.camera:
            if self._cinema is not None:
                self._cinema.close()
            self._cinema = Studio(task, camera, EPISODE_WIDTH)
        frames: list[EpisodeFrame] = []
        for moment in moments:
            image = self._cinema.render(moment.positions)
            frames.append(
                EpisodeFrame(
                    step=moment.step,
                    time_s=round(moment.time_s, 4),
                    width=image.shape[1],
                    height=image.shape[0],
                    png=png(image),
                )
            )
        return tuple(frames)

    def _close(self) -> None:
        for studio in (self._studio, self._cinema):
            if studio is not None:
                studio.close()

    async def close(self) -> None:
        """Free the renderers on the thread that used them."""
        if self._studio is not None or self._cinema is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False, cancel_futures=True)


class Studio:
    """A task's scene through one of its cameras, for drawing only; used by one thread.

    Args:
        task: Whose scene.
        camera: Through which of its cameras, "" for the first; `FREE` for none.
        most_width: Pixels that a picture has the camera's own size up to, in its proportions; 0 for
            the small pictures that people glance at.
    """

    def __init__(self, task: Task, camera: str = "", most_width: int = 0) -> None:
        # It chooses how to render without a screen, before mujoco is imported.
        from robots.drivers.mujoco import compile_scene

        mujoco: Any = importlib.import_module("mujoco")
        self._forward = mujoco.mj_forward
        specs = {each.name: each for each in task.spec.cameras}
        # A scene without a camera is seen from where MuJoCo's own viewer would begin.
        self.camera = camera or next(iter(specs), FREE)
        self._seen_from = self.camera if self.camera in specs else -1
        self._model = compile_scene(task)
        self._data = mujoco.MjData(self._model)
        height, width = HEIGHT, WIDTH
        if most_width:
            # Multisampling and shadows cost many times the picture on a CPU that scores meanwhile.
            self._model.vis.quality.offsamples = self._model.vis.quality.shadowsize = 0
            spec = specs.get(self.camera)
            own = (spec.height, spec.width) if spec is not None else (HEIGHT, WIDTH)
            width = min(most_width, own[1]) if spec is not None else most_width
            height = round(width * own[0] / own[1])
            frame = self._model.vis.global_
            frame.offheight, frame.offwidth = (
                max(frame.offheight, height),
                max(frame.offwidth, width),
            )
        self._renderer = mujoco.Renderer(self._model, height, width)

    @property
    def size(self) -> int:
        """Numbers that say where everything is."""
        return int(self._model.nq + 7 * self._model.nmocap)

    def render(self, positions: NDArray[np.float64]) -> NDArray[np.uint8]:
        """The scene with everything at `positions`, as `MujocoDriver.scene` gives them.

        Returns:
            uint8, height x width x 3, RGB.
        """
        model, data = self._model, self._data
        joints, places, turns = np.split(positions, [model.nq, model.nq + 3 * model.nmocap])
        data.qpos[:] = joints
        data.mocap_pos[:] = places.reshape(-1, 3)
        data.mocap_quat[:] = turns.reshape(-1, 4)
        self._forward(model, data)
        self._renderer.update_scene(data, camera=self._seen_from)
        return self._renderer.render()

    def draw(self, positions: NDArray[np.float64]) -> CameraFrame:
        """The same as a picture for people."""
        image = self.render(positions)
        return CameraFrame(
            camera=self.camera,
            width=image.shape[1],
            height=image.shape[0],
            rgb=np.ascontiguousarray(image).tobytes(),
        )

    def close(self) -> None:
        self._renderer.close()
