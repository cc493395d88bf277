"""Presets of pin insertion: what differs from it, in the scene and in the arm."""

import importlib

import numpy as np
import pytest

from recipes import shipped
from robots.drivers.mujoco import MujocoDriver, compile_scene
from robots.station.tasks import load_task
from robots.tasks.pin_insertion.scenes import GRASP_M

# After the driver's module, which chooses how to render without a screen.
mujoco = importlib.import_module("mujoco")

PRESETS = ("pin_insertion_easy", "pin_insertion", "pin_insertion_hard")


def driver(name, seed=1):
    return MujocoDriver(load_task(name), seed)


def held(world, tip):
    """The pin in the closed hand with its tip at a place, after a tenth of a second."""
    simulation, data = world.simulation, world.data
    mujoco.mj_resetData(world.model, data)
    simulation._pose(data, np.array([tip[0], tip[1], tip[2] + GRASP_M, 0.010]))
    data.ctrl[6] = 0.002
    data.qpos[simulation._pin : simulation._pin + 7] = (*tip, 1.0, 0.0, 0.0, 0.0)
    mujoco.mj_step(world.model, data, nstep=100)


def pushed_down(world, away):
    """Depth of a pin that is pushed down beside the middle hole."""
    held(world, (away, 0.0, 0.003))
    for z in np.arange(0.048, 0.033, -0.0003):
        world.drive((away, 0.0, z, 0.004), 3)
    return -world.data.xpos[world.simulation._pin_body][2]


@pytest.mark.parametrize(("away", "plain"), [(0.0, True), (0.0013, False)])
def test_a_chamfer_leads_a_pin_in_that_would_stand_on_a_sharp_rim(away, plain):
    depths = {name: pushed_down(driver(name), away) for name in PRESETS[:2]}
    assert depths["pin_insertion_easy"] > 0.008
    assert bool(depths["pin_insertion"] > 0.008) is plain


def test_a_chamfered_hole_is_no_wider_below_its_chamfer():
    world = driver("pin_insertion_easy")
    rays = []
    for height in (-0.0002, -0.0005, -0.003):
        for turn in np.arange(0.0, 2.0 * np.pi, np.pi / 4.0):
            way = np.array([np.cos(turn), np.sin(turn), 0.0])
            found = np.array([-1], np.int32)
            mask = np.zeros(6, np.uint8) + 1
            rays.append(
                mujoco.mj_ray(
                    world.model, world.data, np.array([0.0, 0.0, height]), way, mask, 1, -1, found
                )
            )
    face, middle, below = np.reshape(rays, (3, 8))
    assert below == pytest.approx(0.002, abs=1e-5)
    assert middle == pytest.approx(0.0025, abs=1e-5)
    assert face == pytest.approx(0.0028, abs=1e-5)


def test_a_variants_own_file_stands_where_the_bases_scene_includes_it():
    plain, easy, hard = (
        compile_scene(load_task(name)) for name in ("pin_insertion", *PRESETS[::2])
    )
    assert hard.ngeom == plain.ngeom < easy.ngeom
    assert load_task("pin_insertion_easy").path("scene.xml") == load_task("pin_insertion").path(
        "scene.xml"
    )


def sag(world):
    """How far the hand hangs below its set-point, and what it measures of that."""
    simulation = world.simulation
    place = np.array([0.0, 0.05, 0.08])
    world.drive((*place, 0.026), 200)
    truth = world.data.site_xpos[simulation._hand] - place
    return truth, world.observe()["hand_position_m"] - place


def test_a_hard_arm_sags_by_its_weight_and_its_measured_place_says_so():
    falls = []
    for seed in range(6):
        truth, measured = sag(driver("pin_insertion_hard", seed))
        assert measured == pytest.approx(truth, abs=3e-4)
        falls.append(-truth[2])
    assert 0.0018 < min(falls) < max(falls) < 0.0035
    assert np.ptp(falls) > 2e-4
    truth, _ = sag(driver("pin_insertion"))
    assert np.linalg.norm(truth) < 2e-4


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("recipe", ["baseline", "reference"])
def test_every_preset_has_its_recipes(name, recipe):
    packed = shipped.pack(name, recipe)
    assert {"policy.py", "recipe.toml"} <= packed.files.keys()
