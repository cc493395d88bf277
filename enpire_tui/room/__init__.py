"""The control room: a viewer of the fleet's journals that sends commands; it holds no truth."""

import os

# Textual reads it when it is imported. A key that comes just after a paint waits for the next frame:
# at Textual's 60 a second that, and not our own work, was most of the way from key to screen.
os.environ.setdefault("TEXTUAL_FPS", "120")
