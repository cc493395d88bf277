#!/bin/bash
# An environment of its own for the unmodified lerobot package, several gigabytes: its torch is
# newer than ours. Prints its interpreter, which the test takes from ENPIRE_LEROBOT_PYTHON.
set -euo pipefail
folder=${1:-.venv-lerobot}
python=${PYTHON:-python3}
command -v ffmpeg >/dev/null || { echo "ffmpeg is missing: apt-get install ffmpeg" >&2; exit 1; }
test -x "$folder/bin/python" || "$python" -m venv "$folder"
# lerobot's own bounds on torch are older than the torchcodec that reads our videos.
"$folder/bin/python" -m pip install --quiet 'lerobot==0.4.4'
"$folder/bin/python" -m pip install --quiet 'torch==2.14.1' 'torchvision==0.29.1' --upgrade torchcodec
"$folder/bin/python" -c 'import lerobot.datasets.lerobot_dataset'
echo "ENPIRE_LEROBOT_PYTHON=$(realpath "$folder")/bin/python"
