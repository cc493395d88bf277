"""Skills for resets, verifiers and code as policy: how to see, move, grasp, push, and to fail by name.

On numpy alone, since it is mounted into sandboxes; see `docs/skills.md`.
"""

from robots.skills.depth import View, back_project, surface
from robots.skills.failures import Failure, SkillFailed
from robots.skills.motion import Arm, Felt, Grip, Hand
from robots.skills.perception import (
    DARK,
    Blob,
    Colour,
    Line,
    Plane,
    find_marks,
    line,
    locate,
    parts,
    pose,
    segment,
)
from robots.skills.robot import Array, Observation, Place, Robot, Script, retry, within
from robots.skills.script import ScriptedPolicy, ScriptedReset

__all__ = [
    "DARK",
    "Arm",
    "Array",
    "Blob",
    "Colour",
    "Failure",
    "Felt",
    "Grip",
    "Hand",
    "Line",
    "Observation",
    "Place",
    "Plane",
    "Robot",
    "Script",
    "ScriptedPolicy",
    "ScriptedReset",
    "SkillFailed",
    "View",
    "back_project",
    "find_marks",
    "line",
    "locate",
    "parts",
    "pose",
    "retry",
    "segment",
    "surface",
    "within",
]
