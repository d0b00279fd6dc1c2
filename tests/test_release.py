"""A release has one version, in every place that names it."""

from configparser import ConfigParser
from pathlib import Path

import yaml

HOME = Path(__file__).parents[1]


def test_the_version_is_the_same_everywhere() -> None:
    config = ConfigParser()
    config.read(HOME / "setup.cfg")
    version = config["metadata"]["version"]
    assert yaml.safe_load((HOME / "CITATION.cff").read_text())["version"] == version
    assert f"\n## [{version}] - 20" in (HOME / "CHANGELOG.md").read_text()
