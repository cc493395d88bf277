"""What agents are told of the skills is what the library has."""

import inspect

import pytest

from agents.tools.offered import TOOLS
from agents.tools.skills import Skill, known, skills
from agents.tools.surface import Unchecked, checked
from robots import skills as library
from robots.skills import Hand, segment

TOOL = next(tool for tool in TOOLS if tool.name == "skills")


async def test_every_skill_is_listed_with_what_it_takes_and_does() -> None:
    told = await skills(None, Skill(), "")

    assert "\nHand.grasp(grip, gap_m, speed_m_s=, most_n=, steps=): Close, wait," in told
    assert "\nsegment(image, colour): Which pixels have a colour." in told
    for name in ("Arm", "Grip", "Plane", "Robot", "ScriptedPolicy", "SkillFailed", "retry"):
        assert f"\n{name}" in told
    assert "DARK" not in told
    assert len(told) < 6000, "it is cut"


@pytest.mark.parametrize(("name", "it"), [("Hand.grasp", Hand.grasp), ("segment", segment)])
async def test_one_skill_is_read_as_it_is_written(name, it) -> None:
    assert await skills(None, checked(TOOL, b'{"name": "%s"}' % name.encode()), "") == (
        inspect.getsource(it)
    )


@pytest.mark.parametrize("name", ["os", "Hand._close_to", "Hand.__init__", "library", "__all__"])
async def test_nothing_but_skills_is_read(name) -> None:
    with pytest.raises(Unchecked, match="there is no"):
        await skills(None, Skill(name=name), "")


def test_what_the_library_offers_is_known() -> None:
    names = dict(known())
    assert {"Hand", "Hand.move", "locate"} <= set(names)
    assert {name.partition(".")[0] for name in names} <= set(library.__all__)


async def test_a_long_skill_is_read_on_from_a_line() -> None:
    whole = inspect.getsource(Hand)
    head = await skills(None, Skill(name="Hand"), "")
    line = int(head.rsplit("from_line ", 1)[1].rstrip("]"))
    rest = await skills(None, Skill(name="Hand", from_line=line), "")
    assert whole.splitlines()[line - 1] == rest.splitlines()[0]
