"""One implementation of every tool, dispatched by the type of its input.

Every tool with a side effect journals first and is known by an id (idea, batch), so that a repeated
call after a restart is answered instead of done again.
"""

from typing import assert_never

from agents.desk import Desk
from agents.literature import Literature
from agents.tools import calls as t
from agents.tools.bench import Bench
from agents.tools.fleet import Fleet
from agents.tools.ideas import Ideas
from agents.tools.papers import Papers
from agents.tools.training import Training
from agents.tools.tree import Tree


class Toolbox:
    """What a backend is given: tools, its own record, and nothing else of the daemon."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.tree = Tree(desk)
        self.ideas = Ideas(desk)
        self.bench = Bench(desk)
        self.fleet = Fleet(desk, self.tree)
        self.training = Training(desk, self.tree)
        self.literature = Literature(desk.literature)
        self.papers = Papers(desk.gateway)

    async def call(self, call: t.AnyCall) -> t.ToolResult:  # noqa: C901 - one arm a tool.
        """Run a tool.

        Raises:
            ToolRefused: It did not act, and why.
        """
        self.desk.check_awake()
        match call:
            case t.ListFiles():
                return await self.tree.list_files()
            case t.ReadFile():
                return await self.tree.read_file(call)
            case t.WriteFile():
                return await self.tree.write_file(call)
            case t.StartFrom():
                return await self.tree.start_from(call)
            case t.OpenIdea():
                return await self.ideas.open(call)
            case t.Commit():
                return await self.ideas.commit(call)
            case t.Submit():
                return await self.ideas.submit(call)
            case t.Drop():
                return self.ideas.drop(call)
            case t.Explore():
                return await self.desk.unless_interrupted(self.bench.explore(call))
            case t.Train():
                return await self.desk.unless_interrupted(self.training.train(call))
            case t.Gather():
                return await self.training.gather(call)
            case t.Wait():
                return await self.desk.unless_interrupted(self.fleet.wait(call))
            case t.Leaderboard():
                return self.fleet.leaderboard(call)
            case t.Digest():
                return self.fleet.digest()
            case t.PeerDiff():
                return await self.fleet.peer_diff(call)
            case t.Adopt():
                return await self.tree.adopt(call)
            case t.ReadRecipe():
                return await self.tree.read_recipe(call)
            case t.Note():
                self.desk.say("agent", call.text, call.idea_id)
                return t.Text(text="noted")
            case t.BudgetLeft():
                return self.bench.budget()
            case _:
                assert_never(call)
