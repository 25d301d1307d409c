"""The JSON patch of the page on GitOps, over a sample."""

import re
import shutil
from pathlib import Path

import yaml

from support.kustomize import DEPLOY, build, overlay

PAGE = DEPLOY.parent / "docs" / "gitops.md"


def test_the_documented_patch_adds_a_number_and_drops_none(tmp_path: Path) -> None:
    """A merge patch would leave the one number alone in the list."""
    base = tmp_path / "base"
    base.mkdir()
    sample = Path(shutil.copy(DEPLOY / "samples" / "on-premises.yaml", base))
    (shown,) = re.findall(r"^```yaml\n(patches:\n.+?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    bodies = build(overlay(tmp_path / "overlay", overlay(base, sample), **yaml.safe_load(shown)))

    (key,) = [body for body in bodies if body["kind"] == "BusinessEncryptionKey"]
    before = next(one for one in yaml.safe_load_all(sample.read_text(encoding="utf-8")) if one["kind"] == key["kind"])
    assert key["spec"]["phoneNumbers"][:-1] == before["spec"]["phoneNumbers"]
    assert key["spec"]["phoneNumbers"][-1] == {"phoneNumber": "+15550003333"}
