"""The programs that can be an agent, and how each is told to use our model, tools and walls."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec

from robots.wire.records import Frozen

INSIDE_HOME = "/enpire/home"
PLACEHOLDER_KEY = "of-the-gateway"
TOOL_TIMEOUT_S = 3600


class ProgramMissing(LookupError):
    """The program is not in the table, or not installed; the message says how to get it."""


class Program(Frozen):
    """One program that speaks the Agent Client Protocol on its standard streams.

    In arguments and environment, `{gateway}` stands for the address of the gateway inside the
    sandbox and `{model}` for the model; what names a model is left out where none is set.

    Attributes:
        command: Looked for in PATH; a script of Node or an executable.
        provider: Whose interface it speaks through the gateway.
        install: The command that installs it.
        model: Where none is set; "" where the program has one of its own.
        auth: Method of `authenticate`, "" where the environment is enough.
        meta: Given with every new session, as the program's adapter understands it.
        brief_key: Key of `meta` for the brief, "" where it belongs into the first prompt.
        sees: Whether it hands pictures in answers of tools on to its model.
    """

    label: str
    command: str
    provider: str
    install: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    model: str = ""
    auth: str = ""
    meta: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    brief_key: str = ""
    sees: bool = False

    def named(self, model: str) -> "Program":
        """With a model's id in its arguments and environment."""
        model = model or self.model

        def filled(text: str) -> str:
            return text.replace("{model}", model)

        kept = [each for each in self.arguments if model or "{model}" not in each]
        variables = {k: v for k, v in self.environment.items() if model or "{model}" not in v}
        return msgspec.structs.replace(
            self,
            arguments=tuple(map(filled, kept)),
            environment={key: filled(value) for key, value in variables.items()},
        )

    def found(self) -> Path:
        """The program on this host, links resolved.

        Raises:
            ProgramMissing: It is not in PATH.
        """
        path = shutil.which(self.command)
        if path is None:
            raise ProgramMissing(
                f"{self.command} is not in PATH: install it ({self.install}), and put its folder "
                "into the PATH of the agent daemon"
            )
        return Path(path).resolve()


_NPM = "npm install --prefix DIR"

# A provider of our own beside its own: no list of models has to be fetched for it.
_OPENCODE: dict[str, Any] = {
    "model": "gateway/{model}",
    "small_model": "gateway/{model}",
    "enabled_providers": ["gateway"],
    "provider": {
        "gateway": {
            "npm": "@ai-sdk/anthropic",
            "options": {"baseURL": "{gateway}/v1", "apiKey": PLACEHOLDER_KEY},
            "models": {"{model}": {"limit": {"context": 200_000, "output": 16_000}}},
        }
    },
    # A short prompt instead of its own, no titles, and few tools.
    "agent": {
        "build": {"prompt": "Work as the first message of the session says."},
        "title": {"disable": True},
    },
    "tools": dict.fromkeys(
        ("question", "skill", "task", "todowrite", "webfetch", "websearch"), False
    ),
    "experimental": {"mcp_timeout": TOOL_TIMEOUT_S * 1000},
    "autoupdate": False,
    "share": "disabled",
}

# Without walls of their own: the sandbox is the wall, and another cannot be made inside it.
PROGRAMS = {
    "claude-code": Program(
        label="Claude Code",
        command="claude-agent-acp",
        provider="anthropic",
        install=f"{_NPM} @agentclientprotocol/claude-agent-acp",
        environment={
            "ANTHROPIC_BASE_URL": "{gateway}",
            "ANTHROPIC_API_KEY": PLACEHOLDER_KEY,
            "ANTHROPIC_MODEL": "{model}",
            "CLAUDE_CODE_ATTRIBUTION_HEADER": "false",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "MCP_TOOL_TIMEOUT": str(TOOL_TIMEOUT_S * 1000),
        },
        # A short prompt of our own and few tools: the request is a fraction of the usual one.
        meta={
            "claudeCode": {
                "options": {
                    "tools": ["Bash", "Read", "Edit", "Write", "Grep", "Glob"],
                    "settingSources": [],
                }
            }
        },
        brief_key="systemPrompt",
        sees=True,
    ),
    "codex": Program(
        label="Codex",
        command="codex-acp",
        provider="openai",
        install=f"{_NPM} @zed-industries/codex-acp",
        arguments=(
            '-cmodel_provider="gateway"',
            '-cmodel_providers.gateway.name="gateway"',
            '-cmodel_providers.gateway.base_url="{gateway}/v1"',
            '-cmodel_providers.gateway.env_key="OPENAI_API_KEY"',
            '-cmodel_providers.gateway.wire_api="responses"',
            '-csandbox_mode="danger-full-access"',
            '-capproval_policy="never"',
            '-cweb_search="disabled"',
            "-cfeatures.multi_agent=false",
            '-cmodel="{model}"',
        ),
        environment={"OPENAI_API_KEY": PLACEHOLDER_KEY, "CODEX_HOME": INSIDE_HOME},
        sees=True,
    ),
    # Kimi Code; the older kimi-cli of PyPI wants a login over the protocol and is not kept up.
    "kimi": Program(
        label="Kimi Code",
        command="kimi",
        provider="anthropic",
        install=f"{_NPM} @moonshot-ai/kimi-code (Node 22.19 or newer)",
        arguments=("acp",),
        model="kimi-k2.5",
        environment={
            "KIMI_CODE_HOME": f"{INSIDE_HOME}/.kimi-code",
            "KIMI_MODEL_PROVIDER_TYPE": "anthropic",
            "KIMI_MODEL_BASE_URL": "{gateway}",
            "KIMI_MODEL_API_KEY": PLACEHOLDER_KEY,
            "KIMI_MODEL_NAME": "{model}",
            "KIMI_DISABLE_TELEMETRY": "1",
            "KIMI_DISABLE_CRON": "1",
            "KIMI_CODE_NO_AUTO_UPDATE": "1",
            "KIMI_MCP_TOOL_TIMEOUT_MS": str(TOOL_TIMEOUT_S * 1000),
        },
    ),
    "opencode": Program(
        label="opencode",
        command="opencode",
        provider="anthropic",
        install=f"{_NPM} opencode-ai",
        arguments=("acp",),
        model="claude-sonnet-4-5",
        # What it else fetches at its start it cannot reach; the repository configures nothing.
        environment={
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
            "OPENCODE_DISABLE_EXTERNAL_SKILLS": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
            "OPENCODE_CONFIG_CONTENT": json.dumps(_OPENCODE),
        },
    ),
}


def program_named(name: str) -> Program:
    """A program of the table.

    Raises:
        ProgramMissing: There is none of this name.
    """
    if name not in PROGRAMS:
        known = ", ".join(sorted(PROGRAMS))
        raise ProgramMissing(f"there is no program {name!r}; `program` is one of {known}")
    return PROGRAMS[name]
