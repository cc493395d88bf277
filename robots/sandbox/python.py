"""Which mounts bring a Python into a sandbox: interpreter, standard library, named packages.

Works for a system Python, pyenv, conda-like prefixes, virtual environments and editable installs.
Nothing of ``site-packages`` is in view but the packages that were named.
"""

import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import msgspec

from robots.sandbox.spec import Bind, Mask, Mount, SandboxError, Symlink

SITE = "/enpire/site"
_SYSTEM_PREFIXES = (Path("/usr"), Path("/usr/local"))


class PythonInside(msgspec.Struct, frozen=True):
    """A Python in a sandbox.

    Attributes:
        executable: its path inside, the same as on the host. It is the base interpreter, never a
            virtual environment's.
        mounts: what to mount for it.
        site: the folder inside that holds the named packages; put it on ``sys.path``.
    """

    executable: str
    mounts: tuple[Mount, ...]
    site: str = SITE


def python_mounts(packages: Sequence[str]) -> PythonInside:
    """Find the mounts for this interpreter and some importable packages.

    Args:
        packages: top-level import names, for example ``("numpy", "msgspec")``. What they import in
            turn must be named too.

    Raises:
        SandboxError: if a package cannot be found.
    """
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    mounts = [*_system_libraries(), *_interpreter(executable)]
    for package in packages:
        mounts += [Bind(source, f"{SITE}/{source.name}") for source in _sources(package)]
    return PythonInside(str(executable), tuple(_once(mounts)))


def _interpreter(executable: Path) -> Iterable[Mount]:
    prefix = Path(sys.base_prefix).resolve()
    stdlib = Path(sysconfig.get_path("stdlib", vars={"installed_base": str(prefix)})).resolve()
    yield Bind(executable, str(executable))
    if prefix in _SYSTEM_PREFIXES:
        # Beside the standard library lie everybody's libraries: take only Python's own.
        yield Bind(stdlib, str(stdlib))
        for library in sorted((prefix / "lib").glob("libpython3*.so*")):
            if not library.is_symlink():
                yield Bind(library, str(library))
    else:
        yield Bind(prefix / "lib", str(prefix / "lib"))
    for name in ("site-packages", "dist-packages"):
        if (stdlib / name).is_dir():
            yield Mask(str(stdlib / name))


def _sources(package: str) -> Iterable[Path]:
    """Yield the folder or file of a package, and the libraries that wheels put beside it."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise SandboxError(f"The package {package!r} is not installed, so no sandbox can have it.")
    if spec.submodule_search_locations:
        places = [Path(place).resolve() for place in spec.submodule_search_locations]
    elif spec.origin is not None and Path(spec.origin).exists():
        places = [Path(spec.origin).resolve()]
    else:
        raise SandboxError(f"{package!r} is built in or frozen; it needs no mount.")
    for place in places:
        yield place
        libraries = place.with_name(f"{package}.libs")
        if libraries.is_dir():
            yield libraries


@cache
def _system_libraries() -> tuple[Mount, ...]:
    """The loader and the shared libraries of the operating system, none of its programs."""
    found: list[Mount] = []
    triplet = sysconfig.get_config_var("MULTIARCH")
    for name in ("lib", "lib64"):
        top, usr = Path("/", name), Path("/usr", name)
        if top.is_symlink():
            found.append(Symlink(str(top.readlink()), str(top)))
        elif top.is_dir():
            found += _library_folder(top, triplet)
        if usr.is_dir() and not usr.is_symlink():
            found += _library_folder(usr, triplet)
    cache_file = Path("/etc/ld.so.cache")
    if cache_file.is_file():
        found.append(Bind(cache_file, str(cache_file)))
    return tuple(found)


def _library_folder(folder: Path, triplet: str | None) -> Iterable[Mount]:
    """Mount a library folder: with Debian's layout only the one of this machine's triplet."""
    if triplet and (folder / triplet).is_dir():
        yield Bind(folder / triplet, str(folder / triplet))
    elif folder.name == "lib64" or not triplet:
        yield Bind(folder, str(folder))


def _once(mounts: Iterable[Mount]) -> Iterable[Mount]:
    """Drop repetitions, keeping the order."""
    return dict.fromkeys(mounts)
