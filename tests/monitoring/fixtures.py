"""`python -m monitoring.fixtures` records every scene anew, and draws the picture of docs/monitoring.md."""

import sys
from pathlib import Path

from monitoring.picture import PICTURE, draw
from monitoring.scenes import SCENES
from monitoring.stage import play
from support.monitoring import series_names

FOLDER = Path(__file__).parent / "fixtures"


def main() -> int:
    """Write the fixtures of all scenes, and remove others; draw the picture."""
    made = {FOLDER / f"{name}.yaml": play(scene.play, series_names()).render() for name, scene in SCENES.items()}
    for stale in {*FOLDER.glob("*.yaml")} - {*made}:
        stale.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    draw(PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
