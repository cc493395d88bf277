#!/bin/bash
# An environment of its own for a Ray head, which the tests submit jobs to over HTTP, about 400 MB.
# Prints its `ray`. Fails where Ray cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.venv-ray}
python=${PYTHON:-python3}
if [ ! "$folder/.ready" -nt scripts/ray_env.sh ]; then
  test -x "$folder/bin/python" || "$python" -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet 'ray[default]>=2.50,<3'
  touch "$folder/.ready"
fi
echo "$(realpath "$folder")/bin/ray"
