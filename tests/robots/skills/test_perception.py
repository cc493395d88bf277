"""Skills of perception, on frames that MuJoCo renders, where the truth is known."""

import importlib
import math
from typing import NamedTuple

import numpy as np
import pytest

from robots.drivers.mujoco import Cameras
from robots.skills import (
    DARK,
    Colour,
    Failure,
    Plane,
    SkillFailed,
    View,
    back_project,
    find_marks,
    line,
    locate,
    parts,
    pose,
    segment,
    surface,
)
from robots.station.cameras import CameraSpec

GREEN = Colour(hue_deg=(90.0, 150.0), saturation=0.4, light=(30, 255))
RED = Colour(hue_deg=(340.0, 20.0), saturation=0.4, light=(30, 255))
MARKS_M = np.array([(-0.15, -0.1), (0.15, -0.1), (-0.15, 0.1), (0.15, 0.1)])
HEIGHT, WIDTH = 240, 320

SCENE = """
<mujoco>
  <visual><headlight ambient="0.5 0.5 0.5" diffuse="0.4 0.4 0.4" specular="0 0 0"/>
    <map znear="0.01" zfar="10"/></visual>
  <worldbody>
    <camera name="top" pos="0.02 -0.03 0.7" xyaxes="0.999 0.04 0 -0.04 0.998 0.06" fovy="30"/>
    <camera name="flat" pos="0 -0.5 0.1" xyaxes="1 0 0 0 0 1" projection="orthographic" fovy="0.3"/>
    <geom type="plane" size="1 1 1" rgba="0.8 0.8 0.8 1"/>
    {dots}
    <body name="bar" pos="0.03 0.02 0.0005" euler="0 0 33">
      <geom type="box" size="0.05 0.01 0.0005" rgba="0.1 0.7 0.1 1"/>
    </body>
    <geom type="box" pos="0.10 0.05 0.0005" size="0.008 0.008 0.0005" rgba="0.8 0.1 0.1 1"/>
    <geom type="box" pos="-0.08 0.0 0.02" size="0.03 0.03 0.02" euler="0 10 0" rgba="0.2 0.2 0.8 1"/>
    <geom type="capsule" fromto="-0.05 0.2 0.10 -0.03 0.2 0.20" size="0.002" rgba="0.1 0.7 0.1 1"/>
  </worldbody>
</mujoco>
"""


class Shot(NamedTuple):
    images: dict
    views: dict


@pytest.fixture(scope="module")
def shot():
    mujoco = importlib.import_module("mujoco")
    dots = "".join(
        f'<geom type="cylinder" size="0.006 0.0002" pos="{x} {y} 0.0002" rgba="0.02 0.02 0.02 1"/>'
        for x, y in MARKS_M
    )
    model = mujoco.MjModel.from_xml_string(SCENE.format(dots=dots))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    specs = (CameraSpec("top", HEIGHT, WIDTH, depth=True), CameraSpec("flat", HEIGHT, WIDTH, True))
    task = type("T", (), {"spec": type("S", (), {"cameras": specs})})
    cameras = Cameras(model, task)
    images = cameras.render(data)
    cameras.close()

    def view(name):
        camera = model.camera(name).id
        flat = name == "flat"
        fovy = float(model.cam_fovy[camera])
        return View(
            data.cam_xpos[camera].copy(),
            data.cam_xmat[camera].reshape(3, 3).copy(),
            fovy if flat else math.radians(fovy),
            HEIGHT,
            WIDTH,
            flat,
        )

    return Shot(images, {name: view(name) for name in ("top", "flat")})


def plane_of(shot):
    near = shot.views["top"].pixels(np.c_[MARKS_M, np.zeros(4)]) + np.array([3.0, -2.0])
    return Plane.through(find_marks(shot.images["top"], near, 12), MARKS_M)


def test_a_camera_with_depth_gives_metres_beside_its_image(shot):
    depth = shot.images["top_depth"]
    assert set(shot.images) == {"top", "top_depth", "flat", "flat_depth"}
    assert depth.dtype == np.float32
    assert depth.shape == (HEIGHT, WIDTH)
    assert 0.6 < depth.min() < depth.max() < 0.8
    assert shot.images["top"].dtype == np.uint8
    assert shot.images["top"].std() > 10.0, "the colours are drawn as ever after a depth pass"


def test_the_pose_of_a_bar_is_right_within_a_fifth_of_a_pixel(shot):
    x, y, yaw = pose(segment(shot.images["top"], GREEN)[60:], shift(plane_of(shot), 60))
    pixel_m = 2.0 * 0.7 * math.tan(math.radians(15.0)) / HEIGHT
    assert math.hypot(x - 0.03, y - 0.02) < 0.5 * pixel_m
    assert abs(math.remainder(yaw - math.radians(33.0), math.pi)) < 0.01


def shift(plane, rows):
    """The plane of an image whose first rows are cut off."""
    move = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, rows], [0.0, 0.0, 1.0]])
    return Plane(plane._to_metres @ move)


def test_a_hue_that_runs_through_red_finds_red_alone(shot):
    mask = segment(shot.images["top"], RED)
    seen = locate(mask)
    (place,) = plane_of(shot).metres(np.array([[seen.column, seen.row]]))
    assert np.linalg.norm(place - (0.10, 0.05)) < 0.001
    assert not (mask & segment(shot.images["top"], GREEN)).any()


def test_marks_calibrate_a_camera_that_hangs_askew(shot):
    plane = plane_of(shot)
    view = shot.views["top"]
    places = np.array([(0.0, 0.0), (0.1, 0.05), (-0.12, -0.08)])
    pixels = view.pixels(np.c_[places, np.zeros(3)])
    assert np.allclose(plane.metres(pixels), places, atol=2e-4)
    assert np.allclose(plane.pixels(plane.metres(pixels)), pixels, atol=1e-6)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_planes_through_few_marks_are_exact_where_the_image_is_plain(count):
    rng = np.random.default_rng(count)
    metres = rng.uniform(-0.1, 0.1, (count, 2))
    turn = 0.001 * complex(math.cos(0.3), math.sin(0.3))
    pixels = np.array([(w.real, -w.imag) for w in ((metres @ (1, 1j)) - 0.2) / turn])
    plane = Plane.through(pixels, metres)
    assert np.allclose(plane.metres(pixels), metres, atol=1e-9)
    other = np.array([[37.0, -12.0]])
    wanted = (other @ (1, -1j)) * turn + 0.2
    assert np.allclose(plane.metres(other)[0], (wanted[0].real, wanted[0].imag), atol=1e-7)


@pytest.mark.parametrize("image", [np.full((240, 320, 3), 200, np.uint8)])
def test_what_is_not_there_is_not_seen(image):
    for skill in (
        lambda: find_marks(image, np.array([[50.0, 50.0]]), 12),
        lambda: locate(segment(image, GREEN)),
        lambda: pose(segment(image, DARK), Plane(np.eye(3))),
        lambda: line(segment(image, DARK), Plane(np.eye(3))),
        lambda: back_project(np.full((240, 320), np.inf, np.float32), VIEW),
        lambda: surface(np.zeros((2, 3))),
    ):
        with pytest.raises(SkillFailed) as caught:
            skill()
        assert caught.value.failure is Failure.NOT_SEEN


VIEW = View(np.zeros(3), np.eye(3), 1.0, 240, 320)


def test_a_line_tells_place_lean_and_ends(shot):
    view = shot.views["flat"]
    mask = segment(shot.images["flat"], GREEN)
    marks = np.array([(-0.1, 0.05), (0.1, 0.05)])
    pixels = view.pixels(np.c_[marks[:, 0], np.zeros(2), marks[:, 1]])
    # The bar on the table is green too: what stands above it is the largest part higher up.
    mask[view.pixels(np.array([[0.0, 0.0, 0.05]]))[0, 1].astype(int) :] = False
    seen = line(mask, Plane.through(pixels, marks))
    assert seen.lean == pytest.approx(0.2, abs=0.01)
    assert seen.at == pytest.approx(-0.07, abs=0.001)
    assert (seen.low, seen.high) == pytest.approx((0.098, 0.202), abs=0.001)


@pytest.mark.parametrize("name", ["top", "flat"])
def test_depth_leads_back_to_the_world(shot, name):
    view, depth = shot.views[name], shot.images[f"{name}_depth"]
    blue = segment(shot.images[name], Colour(hue_deg=(220.0, 260.0), saturation=0.4))
    points = back_project(depth, view, blue)
    assert abs(points[:, 0].mean() + 0.08) < 0.006
    assert points[:, 2].max() == pytest.approx(
        0.02 + 0.02 * math.cos(math.radians(10)) + 0.03 * math.sin(math.radians(10)), abs=0.001
    )
    assert np.allclose(view.pixels(points), np.argwhere(blue)[:, ::-1], atol=1e-6)


def test_a_surface_tells_how_a_face_leans(shot):
    blue = segment(shot.images["top"], Colour(hue_deg=(220.0, 260.0), saturation=0.4))
    points = back_project(shot.images["top_depth"], shot.views["top"], blue)
    face = points[points[:, 2] > 0.032]
    normal, middle, rms = surface(face)
    assert normal == pytest.approx(
        (math.sin(math.radians(10)), 0.0, math.cos(math.radians(10))), abs=0.02
    )
    assert rms < 0.0005
    assert middle[2] > 0.03


def test_parts_are_told_apart_and_the_largest_comes_first():
    mask = np.zeros((20, 30), np.bool_)
    mask[2:5, 2:20] = True
    mask[4:15, 18:20] = True  # One part with the first, round a corner.
    mask[10, 5] = mask[11, 6] = True  # Touch at a corner.
    mask[17:19, 0:29] = True
    found = parts(mask)
    assert [int(part.sum()) for part in found] == [3 * 18 + 10 * 2, 2 * 29, 2]
    assert np.array_equal(np.any(found, axis=0), mask)
    assert len(parts(mask, least_px=3)) == 2
    assert parts(np.zeros((3, 3), np.bool_)) == []


def test_parts_agree_with_a_flood_fill_on_noise():
    rng = np.random.default_rng(4)
    for _ in range(5):
        mask = rng.random((25, 25)) < 0.4
        left = {tuple(place) for place in np.argwhere(mask)}
        sizes = []
        while left:
            edge, size = [left.pop()], 1
            while edge:
                row, column = edge.pop()
                near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
                left -= near
                edge += near
                size += len(near)
            sizes.append(size)
        assert [int(part.sum()) for part in parts(mask)] == sorted(sizes, reverse=True)
