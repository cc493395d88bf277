#!/usr/bin/env bash
# Looks for the programs and libraries that pip cannot bring. What is missing is installed where
# apt-get may be used (root, or sudo without a password), and named plainly where it may not.
# It never fails the build: what is missing is refused or warned of where it is needed.
set -u
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

missing=()
program() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
library() { ldconfig -p 2>/dev/null | grep -q "$1" || missing+=("$2"); }

program bwrap bubblewrap        # the sandbox
program git git                 # the research repository
program ssh openssh-client      # boxes and stations on other hosts
program sshd openssh-server     # tests: a real sshd on loopback
program tmux tmux               # tests: a real terminal
if [ "${1:-}" = long ]; then    # long tests: a Slurm of one node, and what decodes videos for lerobot
  program slurmctld slurm-wlm
  program ffmpeg ffmpeg
  program munged munge
fi
# Rendering without a screen. Mesa's drivers come as their own packages.
library libEGL.so.1 libegl1
library libOSMesa.so libosmesa6
library libGLESv2.so.2 libgles2
# OpenCV, which gym-pusht draws with.
library libGL.so.1 libgl1
library libgthread-2.0.so.0 libglib2.0-0
compgen -G "/usr/lib/*/dri/*swrast*" >/dev/null || compgen -G "/usr/lib/*/libgallium*" >/dev/null ||
  missing+=(libgl1-mesa-dri)

[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ]; then as_root=(); else as_root=(sudo -n); fi
if command -v apt-get >/dev/null 2>&1 && "${as_root[@]}" true 2>/dev/null; then
  echo "Installing system packages: ${missing[*]}"
  apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null; }
  log=$(mktemp)
  if apt update >"$log" 2>&1 && apt install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
    rm -f "$log"
    exit 0
  fi
  tail -n 5 "$log" >&2
  rm -f "$log"
fi

echo "These system packages are missing and could not be installed from here: ${missing[*]}" >&2
echo "  Debian or Ubuntu: sudo apt-get install ${missing[*]}" >&2
echo "  Without bubblewrap nothing is sandboxed; without Mesa there are no camera images;" >&2
echo "  without OpenSSH and tmux some tests are skipped and say so." >&2
exit 0
