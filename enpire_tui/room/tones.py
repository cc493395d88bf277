"""Glyph and tone of every status, and what a tone looks like: the one place that decides it.

A status always shows its glyph and its word; colour only repeats them. Tones are names; themes give
them colours, so that a theme for the colour-blind changes no other line.
"""

from rich.style import Style

# Tone to variable of the theme.
TONES = {
    "": "foreground",
    "text": "foreground",
    "good": "tone-good",
    "work": "tone-work",
    "warn": "tone-warn",
    "bad": "tone-bad",
    "note": "tone-note",
    "dim": "tone-dim",
    "faint": "tone-faint",
    "key": "tone-key",
}
GROUNDS = {"cursor": "tone-cursor", "mark": "tone-mark", "bar": "tone-bar", "band": "tone-band"}
WEIGHTS = {"bold": Style(bold=True), "reverse": Style(reverse=True), "italic": Style(italic=True)}

# State word of a station, an agent, an idea, a run: glyph, tone.
STATES: dict[str, tuple[str, str]] = {
    "EXECUTING": ("▶", "good"),
    "EXPLORING": ("◇", "work"),
    "QUEUED": ("◦", "text"),
    "IDLE": ("·", "dim"),
    "WAITING": ("◌", "dim"),
    "ASKING": ("◈", "warn"),
    "APPROVAL": ("◈", "warn"),
    "QUESTION": ("◈", "warn"),
    "TRYING": ("▷", "work"),
    "HELD": ("■", "warn"),
    "STOPPED": ("▣", "bad"),
    "QUARANTINED": ("✖", "bad"),
    "FULL": ("✖", "bad"),
    "LOST": ("?", "bad"),
    "STALE": ("?", "warn"),
    "STARTING": ("…", "dim"),
    "THINKING": ("✎", "work"),
    "PAUSED": ("‖", "warn"),
    "FAILED": ("✖", "bad"),
    "PROPOSED": ("◦", "dim"),
    "SCREENING": ("◇", "work"),
    "PROMOTING": ("▲", "work"),
    "ADOPTED": ("★", "good"),
    "DISCARDED": ("✗", "dim"),
    "SETUP": ("◌", "note"),
    "RUNNING": ("▶", "good"),
    "SUCCEEDED": ("●", "good"),
    "CANCELLED": ("○", "dim"),
    "UNKNOWN": ("?", "warn"),
    "CONFIRMING": ("◆", "good"),
    "ENDED": ("●", "note"),
}
OUTCOMES: dict[str, tuple[str, str]] = {
    "success": ("●", "good"),
    "failure": ("○", "bad"),
    "void": ("~", "dim"),
}


def state(word: str) -> tuple[str, str]:
    """Glyph and tone of a state word."""
    return STATES.get(word, ("·", "text"))


class Palette:
    """The styles of one theme.

    Args:
        variables: The theme's, by name, as Textual resolved them.
    """

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables
        self._styles: dict[str, Style] = {}

    def style(self, tone: str) -> Style:
        """Style of a tone: words such as "bold good", "#rrggbb" or "#rrggbb on #rrggbb"."""
        found = self._styles.get(tone)
        if found is None:
            if len(self._styles) > 4096:  # Camera frames bring colours without end.
                self._styles.clear()
            found = self._styles[tone] = self._make(tone)
        return found

    def _make(self, tone: str) -> Style:
        if tone.startswith("#"):
            return Style.parse(tone)
        style = Style.null()
        for word in tone.split():
            if word in WEIGHTS:
                style += WEIGHTS[word]
            elif word in GROUNDS:
                style += Style(bgcolor=self._colour(GROUNDS[word]))
            else:
                style += Style(color=self._colour(TONES[word]))
        return style

    def _colour(self, variable: str) -> str | None:
        value = self._variables.get(variable, "")
        return value if value.startswith("#") else None
