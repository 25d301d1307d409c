"""The look of the plots in the documents: SVG, the same bytes for the same figures."""

from typing import Any, Final

SETTINGS: Final[Any] = {
    "svg.hashsalt": "bek-operator",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
