"""Skills of motion: one arm's part of a robot's action.

Two arms are two hands on one robot. Every skill ends: by distance, by a count of steps, or by
`SkillFailed`. Metres, radians, newtons and steps of the policy's rate; the frame is the task's.
"""

import math
from typing import NamedTuple

import numpy as np

from robots.skills.failures import Failure, SkillFailed
from robots.skills.robot import Array, Place, Robot, Script


class Arm(NamedTuple):
    """Where one arm lies in the action and in the observation.

    Attributes:
        position: The numbers of the action that say where the hand shall be.
        gap: The number that says how far apart the fingers shall be; None without fingers.
        yaw: The number that says how far the hand shall be turned; None where it cannot turn.
        low: Least position that may be asked for, as in `task.toml`; () for no bound.
        high: Greatest one.
        row: Which row of the observed arrays is this arm's; None where they are its own.
        hand_key: Measured position of the hand.
        gap_key: Measured gap between the fingers, (1,).
        force_key: Force on the hand from outside, along the axes of `position`.
        effort_key: Force of the fingers, (1,); "" where none is sensed.
    """

    position: slice = slice(0, 3)
    gap: int | None = 3
    yaw: int | None = None
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    row: int | None = None
    hand_key: str = "hand_position_m"
    gap_key: str = "finger_opening_m"
    force_key: str = "wrist_force_n"
    effort_key: str = ""


class Grip(NamedTuple):
    """What counts as held: a gap that is measured between two bounds, and an effort of the fingers."""

    low_m: float
    high_m: float
    least_n: float = 0.0


class Felt(NamedTuple):
    """How a push ended.

    Attributes:
        touched: The force was reached; False where the whole distance was gone.
        force_n: Against the push, at its end.
        place_m: Where the hand was then measured.
    """

    touched: bool
    force_n: float
    place_m: Array


class Hand:
    """One arm's skills.

    Args:
        robot: Whose arm it is.
        arm: Where it lies in action and observation.
        home_m: Where `home` goes; by default where the hand is aimed at now.
    """

    def __init__(self, robot: Robot, arm: Arm = Arm(), home_m: Place | None = None) -> None:  # noqa: B008 - immutable.
        self.robot = robot
        self.arm = arm
        self.home_m: Array = np.array(self.aim if home_m is None else home_m, dtype=np.float64)
        self._tare_n = 0.0 * self.aim

    # What is known ------------------------------------------------------------------------------

    @property
    def aim(self) -> Array:
        """Where the hand is told to be."""
        return self.robot.command[self.arm.position].copy()

    @property
    def place_m(self) -> Array:
        """Where the hand is measured."""
        return self._seen(self.arm.hand_key)

    @property
    def force_n(self) -> Array:
        """Force on the hand from outside, less what `tare` took off."""
        return self._seen(self.arm.force_key) - self._tare_n

    @property
    def opening_m(self) -> float:
        """Gap between the fingers, measured."""
        return float(np.ravel(self._seen(self.arm.gap_key))[0])

    @property
    def effort_n(self) -> float:
        """Force of the fingers; endless where the task senses none, so that it forbids nothing."""
        key = self.arm.effort_key
        return float(np.ravel(self._seen(key))[0]) if key else math.inf

    def holds(self, grip: Grip) -> bool:
        """Whether something is held, as far as one frame tells."""
        return grip.low_m < self.opening_m < grip.high_m and self.effort_n >= grip.least_n

    # Moves --------------------------------------------------------------------------------------

    def hold(self, steps: int) -> Script[None]:
        """Stay for some steps."""
        yield from self.robot.hold(steps)

    def settle(self, within_m: float = 0.0003, most_steps: int = 60) -> Script[bool]:
        """Wait until the measured hand lies still; returns whether it does."""
        for _ in range(0, most_steps, 3):
            before = self.place_m
            yield from self.hold(3)
            if float(np.abs(self.place_m - before).max()) < within_m:
                return True
        return False

    def tare(self, frames: int = 8) -> Script[None]:
        """Take what the hand feels now, still and free, as no force."""
        key = self.arm.force_key
        self._tare_n = yield from self.robot.average(lambda _: self._seen(key), frames)

    def move(
        self,
        to: Place,
        speed_m_s: float,
        *,
        yaw_rad: float | None = None,
        turn_rad_s: float = 1.0,
        most_n: float | None = None,
        within_m: float | None = None,
    ) -> Script[None]:
        """Aim along a straight line from where the hand is aimed at now.

        Args:
            to: Place, as many numbers as the arm's position has.
            speed_m_s: Of the aim.
            yaw_rad: Turn on the way to this; None to leave it.
            turn_rad_s: Speed of the turn; the slower of both decides.
            most_n: A force above this, from any side, ends the move.
            within_m: Settle at the end, and be measured this near.

        Raises:
            SkillFailed: OUT_OF_REACH; BLOCKED by the force or short of the place.
        """
        end, start = self._reachable(to), self.aim
        yaw, command = self.arm.yaw, self.robot.command
        begun = 0.0 if yaw is None else float(command[yaw])
        turn = 0.0 if yaw_rad is None else yaw_rad - begun
        far = float(np.linalg.norm(end - start))
        for part in self._parts(max(far / speed_m_s, abs(turn) / turn_rad_s)):
            command[self.arm.position] = start + (end - start) * part
            if yaw is not None:
                command[yaw] = begun + turn * part
            yield from self.hold(1)
            if most_n is not None and float(np.linalg.norm(self.force_n)) > most_n:
                raise SkillFailed(Failure.BLOCKED, f"{self.force_n} N on the way to {end}")
        if within_m is not None:
            yield from self.settle()
            off = float(np.linalg.norm(self.place_m - end))
            if off > within_m:
                raise SkillFailed(Failure.BLOCKED, f"{off:.4f} m away from {end}")

    def reach(self, to: Place, speed_m_s: float, near_m: float, times: int = 4) -> Script[None]:
        """Move until the hand is measured at a place, by aiming past it as far as it falls short.

        What a servo with a static error needs, under the arm's weight for one.

        Args:
            to: The place.
            speed_m_s: Of the aim.
            near_m: How near is near enough.
            times: Corrections, at most.

        Raises:
            SkillFailed: OUT_OF_REACH; BLOCKED where the corrections do not bring it there.
        """
        end = self._reachable(to)
        yield from self.move(end, speed_m_s)
        for _ in range(times):
            yield from self.settle()
            short = end - self.place_m
            if float(np.linalg.norm(short)) < near_m:
                return
            yield from self.move(self.aim + short, speed_m_s)
        yield from self.settle()
        off = float(np.linalg.norm(end - self.place_m))
        if off > near_m:
            raise SkillFailed(Failure.BLOCKED, f"{off:.4f} m away from {end}")

    def hover(
        self,
        over: Place,
        height_m: float,
        speed_m_s: float,
        *,
        fine_m_s: float | None = None,
        clear_m: float = -math.inf,
    ) -> Script[None]:
        """Straight up, across, and straight down to a height above a place.

        Args:
            over: The place.
            height_m: Above it.
            speed_m_s: Of the aim.
            fine_m_s: Up and down, where that shall be slower.
            clear_m: Height (third coordinate) at which the way across is free, at least.

        Raises:
            SkillFailed: OUT_OF_REACH.
        """
        end = np.array(over, dtype=np.float64)
        end[2] += height_m
        top = max(float(end[2]), float(self.aim[2]), clear_m)
        fine_m_s = speed_m_s if fine_m_s is None else fine_m_s
        yield from self.move((self.aim[0], self.aim[1], top), fine_m_s)
        yield from self.move((end[0], end[1], top), speed_m_s)
        yield from self.move(end, fine_m_s)

    def push(
        self, direction: Place, distance_m: float, speed_m_s: float, until_n: float = math.inf
    ) -> Script[Felt]:
        """Aim along a direction until a force is felt against it, or the distance is gone.

        Raises:
            SkillFailed: OUT_OF_REACH, before anything has moved.
        """
        way = np.array(direction, dtype=np.float64)
        way /= np.linalg.norm(way)
        start = self.aim
        self._reachable(start + way * distance_m)
        for part in self._parts(distance_m / speed_m_s):
            self.robot.command[self.arm.position] = start + way * (distance_m * part)
            yield from self.hold(1)
            if until_n < math.inf and self._against(way) >= until_n:
                return Felt(True, self._against(way), self.place_m)
        return Felt(False, self._against(way) if until_n < math.inf else 0.0, self.place_m)

    def descend(self, until_n: float, lowest_m: float, speed_m_s: float) -> Script[Felt]:
        """Down until a force is felt from below, or the aim is as low as it may be; see `push`."""
        deep = max(0.0, float(self.aim[2]) - lowest_m)
        return (yield from self.push((0.0, 0.0, -1.0), deep, speed_m_s, until_n))

    def home(self, speed_m_s: float, *, clear_m: float = -math.inf) -> Script[None]:
        """Straight up, across, and down to where the hand belongs."""
        yield from self.hover(self.home_m, 0.0, speed_m_s, clear_m=clear_m)

    # Fingers ------------------------------------------------------------------------------------

    def grasp(
        self,
        grip: Grip,
        gap_m: float,
        *,
        speed_m_s: float = 0.1,
        most_n: float = math.inf,
        steps: int = 15,
    ) -> Script[None]:
        """Close, wait, and make sure that something is held.

        Args:
            grip: What then counts as held.
            gap_m: To which the fingers are told to close: below the thing's width, to press on it.
            speed_m_s: Of the gap.
            most_n: The fingers close no further once their effort is this.
            steps: To wait.

        Raises:
            SkillFailed: NOT_HELD.
        """
        yield from self._close_to(gap_m, speed_m_s, most_n)
        yield from self.hold(steps)
        if not self.holds(grip):
            told = f"gap {self.opening_m:.4f} m, effort {self.effort_n:.3g} N"
            raise SkillFailed(Failure.NOT_HELD, told)

    def release(self, gap_m: float, *, speed_m_s: float = 0.1, steps: int = 12) -> Script[None]:
        """Open, and make sure that the fingers are.

        Raises:
            SkillFailed: BLOCKED: they have not gone nine tenths of the way.
        """
        yield from self._close_to(gap_m, speed_m_s, math.inf)
        yield from self.hold(steps)
        if self.opening_m < 0.9 * gap_m:
            raise SkillFailed(Failure.BLOCKED, f"fingers open {self.opening_m:.4f} of {gap_m} m")

    def require(self, grip: Grip) -> None:
        """Go on only with what was grasped.

        Raises:
            SkillFailed: SLIPPED.
        """
        if not self.holds(grip):
            raise SkillFailed(Failure.SLIPPED, f"gap {self.opening_m:.4f} m")

    def hand_over(self, to: "Hand", grip: Grip, gap_m: float, open_m: float) -> Script[None]:
        """Another hand, already about the thing, takes it; then this one lets go.

        Args:
            to: The hand that takes.
            grip: What it then holds.
            gap_m: To which its fingers close.
            open_m: To which this hand's open.

        Raises:
            SkillFailed: NOT_HELD by the other hand, and still by this one; BLOCKED; SLIPPED.
        """
        yield from to.grasp(grip, gap_m)
        yield from self.release(open_m)
        to.require(grip)

    # --------------------------------------------------------------------------------------------

    def _seen(self, key: str) -> Array:
        values = self.robot.seen[key]
        return np.asarray(values if self.arm.row is None else values[self.arm.row])

    def _against(self, way: Array) -> float:
        return -float(np.dot(self.force_n, way))

    def _parts(self, seconds: float) -> list[float]:
        """Shares of a way after each step of it, the last one 1."""
        steps = max(1, math.ceil(seconds / self.robot.period_s - 1e-9))
        return [k / steps for k in range(1, steps + 1)]

    def _reachable(self, to: Place) -> Array:
        end = np.array(to, dtype=np.float64)
        low, high = self.arm.low, self.arm.high
        below, above = bool(low) and np.any(end < low), bool(high) and np.any(end > high)
        if below or above or not np.isfinite(end).all():
            raise SkillFailed(Failure.OUT_OF_REACH, f"{end} is not within {low} and {high}")
        return end

    def _close_to(self, gap_m: float, speed_m_s: float, most_n: float) -> Script[None]:
        assert self.arm.gap is not None, "this arm has no fingers"
        assert most_n == math.inf or self.arm.effort_key, "no effort is sensed: Arm.effort_key"
        command, index = self.robot.command, self.arm.gap
        begun = float(command[index])
        for part in self._parts(abs(gap_m - begun) / speed_m_s):
            command[index] = begun + (gap_m - begun) * part
            yield from self.hold(1)
            if most_n < math.inf and self.effort_n >= most_n:
                return
