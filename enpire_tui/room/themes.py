"""The room's themes: dark, light, high contrast, and one for the colour-blind (Okabe and Ito)."""

from textual.theme import Theme

DARK, LIGHT, CONTRAST, BLIND = "room-dark", "room-light", "room-contrast", "room-colour-blind"


def _theme(
    name: str,
    *,
    dark: bool,
    foreground: str,
    background: str,
    surface: str,
    panel: str,
    tones: dict[str, str],
) -> Theme:
    variables = {f"tone-{tone}": colour for tone, colour in tones.items()}
    variables |= {
        "footer-key-foreground": tones["key"],
        "scrollbar": tones["bar"],
        "scrollbar-background": background,
        "scrollbar-hover": tones["faint"],
        "scrollbar-active": tones["dim"],
        "border": tones["faint"],
    }
    return Theme(
        name=name,
        dark=dark,
        primary=tones["key"],
        secondary=tones["note"],
        accent=tones["work"],
        success=tones["good"],
        warning=tones["warn"],
        error=tones["bad"],
        variables=variables,
        foreground=foreground,
        background=background,
        surface=surface,
        panel=panel,
    )


THEMES = (
    _theme(
        DARK,
        dark=True,
        foreground="#d6dae2",
        background="#11141a",
        surface="#171b23",
        panel="#1c212b",
        tones={
            "good": "#7fc98f",
            "work": "#79b8e8",
            "warn": "#e8b75c",
            "bad": "#f0756f",
            "note": "#b9a5ee",
            "dim": "#8a93a3",
            "faint": "#5c6676",
            "key": "#e8b75c",
            "cursor": "#29384d",
            "mark": "#1f2631",
            "bar": "#252c38",
            "band": "#24332f",
        },
    ),
    _theme(
        LIGHT,
        dark=False,
        foreground="#20242c",
        background="#fbfaf7",
        surface="#f2f0ea",
        panel="#e9e6de",
        tones={
            "good": "#1d7a3a",
            "work": "#1463a5",
            "warn": "#8f5a00",
            "bad": "#b3261e",
            "note": "#6a3fb5",
            "dim": "#626a76",
            "faint": "#91948e",
            "key": "#8f5a00",
            "cursor": "#cfe0f3",
            "mark": "#e6ebf0",
            "bar": "#dedbd2",
            "band": "#dcebdd",
        },
    ),
    _theme(
        CONTRAST,
        dark=True,
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#000000",
        tones={
            "good": "#5dff8f",
            "work": "#66d9ff",
            "warn": "#ffd500",
            "bad": "#ff6b6b",
            "note": "#e0b3ff",
            "dim": "#d0d0d0",
            "faint": "#909090",
            "key": "#ffd500",
            "cursor": "#003a8c",
            "mark": "#333333",
            "bar": "#3a3a3a",
            "band": "#17401f",
        },
    ),
    _theme(
        BLIND,
        dark=True,
        foreground="#e6e6e6",
        background="#101216",
        surface="#15181d",
        panel="#1b1f26",
        tones={
            # Source: Okabe and Ito (2008), "Color universal design": told apart by all.
            "good": "#56b4e9",
            "work": "#f0e442",
            "warn": "#e69f00",
            "bad": "#d97a3d",
            "note": "#cc79a7",
            "dim": "#989ba3",
            "faint": "#626873",
            "key": "#f0e442",
            "cursor": "#26384a",
            "mark": "#20262e",
            "bar": "#2a2f38",
            "band": "#1d3340",
        },
    ),
)
NAMES = tuple(theme.name for theme in THEMES)
