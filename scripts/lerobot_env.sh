#!/bin/bash
# An environment of its own for the unmodified lerobot package, about 1.5 GB: it wants versions of
# other packages that are older than ours. Prints its interpreter. Fails where lerobot cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.venv-lerobot}
python=${PYTHON:-python3}
if [ ! "$folder/.ready" -nt scripts/lerobot_env.sh ]; then
  test -x "$folder/bin/python" || "$python" -m venv "$folder"
  install=("$folder/bin/python" -m pip install --quiet)
  # lerobot's bounds on torch leave out the one that we pin, so it is installed without its
  # dependencies, and of those what reading a dataset imports. torchvision 0.28 and torchcodec 0.13
  # go with torch 2.13.
  "${install[@]}" torch==2.13.0 torchvision==0.28.0 torchcodec==0.13.0
  "${install[@]}" 'datasets>=4,<5' 'huggingface-hub>=0.34.2,<0.36' 'accelerate>=1.10,<2' \
    'av>=15,<16' 'draccus==0.10.0' 'jsonlines>=4,<5' 'einops>=0.8,<0.9' 'deepdiff>=7.0.1,<9' \
    'packaging<26' 'setuptools<81'
  "${install[@]}" --no-deps lerobot==0.4.4
  touch "$folder/.ready"
fi
echo "$(realpath "$folder")/bin/python"
