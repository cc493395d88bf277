"""What a request would have its provider do beyond answering: refused, since it is a way out.

A sandbox has no network, but a provider has: its own tools search and fetch, it connects to MCP
servers that a request names, and it fetches pictures by their address. A response in the background
is one whose tokens no answer tells. Pure.
"""

from typing import cast

import msgspec

# By how their types begin; tools that an agent runs itself are of other types, or of none.
_HOSTED = ("web_", "mcp", "code_", "file_search", "image_generation")
_LINKS = ("image_url", "file_url")


def reach(body: bytes) -> str:
    """What in a request's body reaches beyond its provider, "" for nothing."""
    try:
        request: object = msgspec.json.decode(body)
    except msgspec.DecodeError:
        # The provider will not understand it either.
        return ""
    if not isinstance(request, dict):
        return ""
    told = cast("dict[str, object]", request)
    for key in ("mcp_servers", "background"):
        if told.get(key):
            return f"`{key}` is not for agents: there is no way out but the model"
    for tool in _rows(told.get("tools")):
        kind = tool.get("type")
        if isinstance(kind, str) and kind.startswith(_HOSTED):
            return (
                f"the provider's own tool {kind!r} is not for agents: it reaches beyond the model"
            )
    return _link([told.get("messages"), told.get("input")])


def _rows(found: object) -> list[dict[str, object]]:
    items = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("dict[str, object]", each) for each in items if isinstance(each, dict)]


def _link(waiting: list[object]) -> str:
    """Content that the provider would fetch; arguments of calls are the model's own words."""
    while waiting:
        for row in _rows(waiting.pop()):
            given = [row.get(key) for key in _LINKS]
            source = row.get("source")
            if isinstance(source, dict):
                given.append(cast("dict[str, object]", source).get("url"))
            for address in given:
                if isinstance(address, str) and not address.startswith("data:"):
                    return "what lies at an address is not fetched: give its content"
            waiting += [row.get("content"), row.get("output")]
    return ""
