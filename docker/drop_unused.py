"""Remove from an environment what the operator never imports; the Dockerfile runs it before it compiles the rest.

Every module of the operator is imported, and what that loads is needed. Of the others, these go:

- the distributions of which nothing was loaded, such as a transport of httpx that ours replaces;
- in the packages below, the modules that were not loaded.

What is imported later, inside of a function, is not seen. So a package is listed here only if it loads its generated
modules by name, and `check.py` and `make image-test` run what is left.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import bek_operator

LAZY = ("kubernetes",)
"""Distributions of which each module is loaded on its own: a class of the client for every kind of the API."""


def import_operator() -> set[Path]:
    """Import every module of the operator; return the files of all modules that are loaded then."""
    for module in pkgutil.walk_packages(bek_operator.__path__, f"{bek_operator.__name__}."):
        importlib.import_module(module.name)
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {Path(file).resolve() for file in files if file}


def unused(distribution: metadata.Distribution, loaded: set[Path]) -> list[Path]:
    """Return the files of a distribution that can go: none, some modules, or all, its description included."""
    files = [Path(str(distribution.locate_file(file))).resolve() for file in distribution.files or ()]
    if loaded.isdisjoint(files):
        return files
    if distribution.name in LAZY:
        return [file for file in files if file.suffix == ".py" and file not in loaded]
    return []


def main() -> None:
    """Remove the files, and say of which distributions."""
    loaded = import_operator()
    for distribution in list(metadata.distributions(path=[sysconfig.get_path("purelib")])):
        if files := unused(distribution, loaded):
            print(f"removed of {distribution.name} {distribution.version}: {len(files)} files")
        for file in files:
            file.unlink()
    for folder in sorted(Path(sys.prefix).rglob("*"), reverse=True):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()


if __name__ == "__main__":
    main()
