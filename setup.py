"""The wheel has the top-level folders that the commands need, inside the package."""

from setuptools import find_packages, setup

FOLDERS = ("configs", "datasets", "tools")

setup(
    packages=[*find_packages(include=["video_gc*"]), *(f"video_gc.{name}" for name in FOLDERS)],
    package_dir={f"video_gc.{name}": name for name in FOLDERS},
    package_data={
        "": ["py.typed", "*.j2", "*.css"],
        "video_gc.configs": ["**/*.yaml"],
        "video_gc.datasets": ["*/labels.txt"],
        "video_gc.tools": ["benchmarks/*.py", "benchmarks/*/*.py"],
    },
)
