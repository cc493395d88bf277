"""Stop `make setup` early, with a remedy, on a Python that is too old or lacks venv.

Written for any Python 3, so that an old one gets to say so.
"""

import sys

if sys.version_info < (3, 11):
    found = ".".join(str(part) for part in sys.version_info[:3])
    sys.exit(
        "enpire-tui needs Python 3.11 or newer; `{}` is {}. "
        "Install one and name it: make setup PYTHON=python3.12".format(sys.executable, found)
    )

try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit(
        f"`{sys.executable}` has no venv module. On Debian or Ubuntu: apt-get install python3-venv"
    )
