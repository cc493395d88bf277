"""Skills of motion, driven against a small kinematic robot."""

import numpy as np
import pytest

from robots.skills import Arm, Failure, Grip, Hand, SkillFailed, retry, within
from tests.robots.skills.arm import PERIOD_S, Bench

GRIP = Grip(0.0085, 0.0115)


def one(**more):
    bench = Bench(**more)
    return bench, Hand(bench.robot(), Arm(low=(-0.2, -0.2, -0.2), high=(0.2, 0.2, 0.2)))


def failed(bench, script):
    with pytest.raises(SkillFailed) as caught:
        bench.run(script)
    return caught.value.failure


def speeds(bench):
    places = np.array([command[:3] for command in bench.commands])
    return np.linalg.norm(np.diff(places, axis=0), axis=1) / PERIOD_S


def test_a_move_is_straight_at_its_speed_and_ends_where_it_was_told():
    bench, hand = one()
    bench.run(hand.move((0.05, -0.1, 0.02), 0.12))
    assert np.allclose(bench.place[0], (0.05, -0.1, 0.02))
    assert speeds(bench).max() <= 0.12 + 1e-9
    way = np.array([command[:3] for command in bench.commands]) - (0.0, 0.0, 0.1)
    assert np.allclose(np.cross(way, way[-1]), 0.0, atol=1e-12)


@pytest.mark.parametrize("place", [(0.3, 0.0, 0.0), (0.0, 0.0, -0.21), (np.nan, 0.0, 0.0)])
def test_a_place_out_of_reach_is_refused_before_anything_moves(place):
    bench, hand = one()
    assert failed(bench, hand.move(place, 0.1)) is Failure.OUT_OF_REACH
    assert bench.commands == []


def test_a_move_that_is_stopped_short_says_so():
    bench, hand = one(floor_m=0.05)
    assert failed(bench, hand.move((0.0, 0.0, 0.04), 0.1, within_m=0.002)) is Failure.BLOCKED
    bench, hand = one(floor_m=0.05)
    assert failed(bench, hand.move((0.0, 0.0, 0.0), 0.1, most_n=10.0)) is Failure.BLOCKED
    assert bench.target[0, 2] > 0.04


def test_reaching_makes_up_for_a_sagging_arm():
    bench, hand = one(sag_m=0.003, follow=0.5)
    place = (0.05, 0.0, 0.05)
    assert failed(bench, hand.move(place, 0.1, within_m=0.001)) is Failure.BLOCKED
    bench.run(hand.reach(place, 0.1, near_m=0.001))
    assert np.linalg.norm(bench.place[0] - place) < 0.001
    bench, hand = one(floor_m=0.05)
    assert failed(bench, hand.reach((0.0, 0.0, 0.03), 0.1, near_m=0.001)) is Failure.BLOCKED


def test_a_hand_turns_on_its_way_by_the_slower_of_both():
    bench = Bench()
    hand = Hand(bench.robot(), Arm(gap=None, yaw=3))
    bench.run(hand.move((0.01, 0.0, 0.1), 1.0, yaw_rad=1.03, turn_rad_s=0.5))
    turns = np.diff([command[3] for command in bench.commands]) / PERIOD_S
    assert bench.commands[-1][3] == pytest.approx(1.03)
    assert turns.max() <= 0.5 + 1e-9


def test_hovering_goes_up_before_across():
    bench, hand = one()
    bench.run(hand.hover((0.1, 0.1, 0.0), 0.03, 0.2, clear_m=0.15))
    track = np.array([command[:3] for command in bench.commands])
    moved = np.abs(np.diff(track[:, 0])) > 1e-9
    assert np.allclose(track[1:][moved][:, 2], 0.15)
    assert np.allclose(track[-1], (0.1, 0.1, 0.03))


def test_descending_stops_at_the_force_and_not_before():
    bench, hand = one(floor_m=0.02)
    felt = bench.run(hand.descend(until_n=4.0, lowest_m=-0.1, speed_m_s=0.03))
    assert felt.touched
    assert 4.0 <= felt.force_n < 4.0 + 2000.0 * 0.03 * PERIOD_S + 1e-9
    assert felt.place_m[2] == pytest.approx(0.02)


def test_descending_onto_nothing_ends_at_the_lowest_place():
    bench, hand = one()
    felt = bench.run(hand.descend(until_n=4.0, lowest_m=-0.1, speed_m_s=0.1))
    assert not felt.touched
    assert bench.place[0, 2] == pytest.approx(-0.1)


def test_a_tared_hand_feels_no_bias():
    bench, hand = one(floor_m=-0.05)
    bench.force_bias_n[:] = (0.0, 0.0, 5.0)
    bench.step(np.array([0.0, 0.0, 0.1, 0.03]))

    def script():
        yield from hand.tare()
        return (yield from hand.descend(4.0, -0.1, 0.1))

    felt = bench.run(script())
    assert felt.touched
    assert felt.place_m[2] == pytest.approx(-0.05)
    assert bench.target[0, 2] < -0.05


def test_a_grasp_is_held_or_named():
    bench, hand = one(thing_m=0.01)
    bench.run(hand.grasp(GRIP, 0.004))
    assert hand.holds(GRIP)
    bench, hand = one(thing_m=0.0)
    assert failed(bench, hand.grasp(GRIP, 0.004)) is Failure.NOT_HELD


def test_fingers_close_no_further_once_their_effort_is_enough():
    bench = Bench(thing_m=0.01)
    hand = Hand(bench.robot(), Arm(effort_key="effort_n"))
    bench.run(hand.grasp(GRIP._replace(least_n=1.5), 0.0, speed_m_s=0.03, most_n=2.0))
    assert 2.0 <= hand.effort_n < 2.0 + 1000.0 * 0.03 * PERIOD_S + 1e-9
    bench = Bench(thing_m=0.01)
    hand = Hand(bench.robot(), Arm(effort_key="effort_n"))
    assert failed(bench, hand.grasp(GRIP._replace(least_n=3.0), 0.008)) is Failure.NOT_HELD


def test_stuck_fingers_are_named():
    bench, hand = one(thing_m=0.0)
    bench.run(hand.grasp(Grip(0.0, 0.01), 0.004))
    bench.step = lambda action: bench.observe()
    assert failed(bench, hand.release(0.03)) is Failure.BLOCKED


def two(bench):
    robot = bench.robot()
    arms = [Arm(position=slice(4 * row, 4 * row + 3), gap=4 * row + 3, row=row) for row in (0, 1)]
    return robot, [Hand(robot, arm) for arm in arms]


def test_two_hands_share_one_action_and_move_side_by_side():
    bench = Bench(hands=2)
    robot, (left, right) = two(bench)
    bench.run(robot.together(left.move((0.1, 0.0, 0.1), 0.1), right.move((0.0, -0.2, 0.1), 0.1)))
    assert np.allclose(bench.place, [(0.1, 0.0, 0.1), (0.0, -0.2, 0.1)])
    assert len(bench.commands) == 60


def test_a_hand_over_leaves_the_thing_in_the_other_hand():
    bench = Bench(hands=2)
    _, (left, right) = two(bench)

    def script():
        yield from left.grasp(GRIP, 0.004)
        yield from left.hand_over(right, GRIP, 0.004, 0.03)

    bench.run(script())
    assert right.holds(GRIP)
    assert not left.holds(GRIP)


def test_a_hand_over_to_empty_fingers_lets_nothing_go():
    bench = Bench(hands=2)
    _, (left, right) = two(bench)
    bench.run(left.grasp(GRIP, 0.004))
    bench.thing_m[1] = 0.0
    assert failed(bench, left.hand_over(right, GRIP, 0.004, 0.03)) is Failure.NOT_HELD
    assert left.holds(GRIP)


def test_a_thing_that_is_lost_while_handed_over_slipped():
    bench = Bench(hands=2)
    _, (left, right) = two(bench)
    bench.run(left.grasp(GRIP, 0.004))
    plain = bench.step

    def step(action):
        if action[3] > 0.02:
            bench.thing_m[1] = 0.0
        return plain(action)

    bench.step = step
    assert failed(bench, left.hand_over(right, GRIP, 0.004, 0.03)) is Failure.SLIPPED


def test_settling_waits_for_a_hand_that_follows_slowly():
    bench, hand = one(follow=0.2)

    def script():
        yield from hand.move((0.1, 0.0, 0.1), 1.0)
        return (yield from hand.settle(within_m=0.0003))

    assert bench.run(script()) is True
    assert np.linalg.norm(bench.place[0] - (0.1, 0.0, 0.1)) < 0.001


def test_home_is_where_the_hand_was_made():
    bench, hand = one()

    def script():
        yield from hand.move((0.1, 0.1, 0.02), 0.2)
        yield from hand.home(0.2)

    bench.run(script())
    assert np.allclose(bench.place[0], (0.0, 0.0, 0.1))


def test_a_retry_recovers_between_attempts_and_keeps_the_last_failure():
    bench, hand = one(thing_m=0.0)
    tried = []

    def attempt():
        tried.append("grasp")
        yield from hand.grasp(GRIP, 0.004, steps=2)

    def recover():
        tried.append("release")
        yield from hand.release(0.03, steps=2)
        if len(tried) == 4:
            bench.thing_m[0] = 0.01

    bench.run(retry(3, attempt, recover))
    assert tried == ["grasp", "release", "grasp", "release", "grasp"]
    bench.thing_m[0] = 0.0
    assert failed(bench, retry(2, attempt, recover)) is Failure.NOT_HELD
    tried.clear()
    assert failed(bench, retry(5, attempt, on=(Failure.BLOCKED,))) is Failure.NOT_HELD
    assert tried == ["grasp"]


def test_a_script_that_takes_too_long_is_ended():
    bench, hand = one()
    assert failed(bench, within(10, hand.hold(11))) is Failure.TIMED_OUT
    assert len(bench.commands) == 10
    bench.run(within(10, hand.hold(10)))
