"""`python -m monitoring.fixtures` records every scene anew, into `fixtures`."""

import sys
from pathlib import Path

from monitoring.scenes import SCENES
from monitoring.stage import record
from support.monitoring import series_names

FOLDER = Path(__file__).parent / "fixtures"


def main() -> int:
    """Write the fixtures of all scenes, and remove others."""
    made = {FOLDER / f"{name}.yaml": record(scene.play, series_names()) for name, scene in SCENES.items()}
    for stale in {*FOLDER.glob("*.yaml")} - {*made}:
        stale.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
