"""Build the sdist and the wheel of the last commit into dist/, check them, and list what they need in build/sbom.json.

Called as ``python scripts/dist.py`` with the packages of requirements/release.txt. The two files depend on the commit
and those packages alone, so that others can build the same ones and compare.
"""

import configparser
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
SBOM = ROOT / "build" / "sbom.json"


class Refused(Exception):
    """The files must not be released; the message says why."""


def main() -> None:
    os.umask(0o022)  # the archives hold the permissions of the files
    os.environ["SOURCE_DATE_EPOCH"] = git("log", "-1", "--format=%ct").strip()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        export(source)
        package = metadata(source)
        check_tags(package["version"], git("tag", "--points-at", "HEAD").split())
        complete_links(source / "README.md", package.get("url"), package["version"])
        committed = files(source)
        sdist, wheel = build(source, Path(folder, "dist"))
        repack(sdist, int(os.environ["SOURCE_DATE_EPOCH"]))
        check_contents(sdist, wheel, committed)
        run(sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel))
        write_sbom(wheel, Path(folder, "environment"))
        shutil.rmtree(DIST, ignore_errors=True)
        shutil.copytree(sdist.parent, DIST)
    for path in (*sorted(DIST.iterdir()), SBOM):
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(ROOT))


def export(source: Path) -> None:
    """Unpack the last commit into a folder."""
    if git("status", "--porcelain"):
        print("Uncommitted changes are left out.", file=sys.stderr)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(source, filter="data")


def metadata(source: Path) -> configparser.SectionProxy:
    setup = configparser.ConfigParser()
    setup.read(source / "setup.cfg")
    return setup["metadata"]


def check_tags(released: str, tags: list[str]) -> None:
    """Refuse a commit whose tags name another version."""
    versions = [tag for tag in tags if tag.startswith("v")]
    if versions and f"v{released}" not in versions:
        raise Refused(f"The tag {versions[0]} is not that of version {released} in setup.cfg.")


def complete_links(readme: Path, repository: str | None, released: str) -> None:
    """Make relative links lead into the repository, since the package index shows the page without its files."""
    if not repository:
        print("setup.cfg has no url, so the links on the index's page lead nowhere.", file=sys.stderr)
        return

    def complete(link: re.Match[str]) -> str:
        view = "raw" if link[1] else "blob"
        return f"{link[1]}[{link[2]}]({repository}/{view}/v{released}/{link[3]}"

    readme.write_text(re.sub(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)]*)", complete, readme.read_text()))


def build(source: Path, target: Path) -> tuple[Path, Path]:
    """Build the sdist, and from it the wheel; return their paths."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(source))
    [sdist], [wheel] = target.glob("*.tar.gz"), target.glob("*.whl")
    return sdist, wheel


def repack(sdist: Path, epoch: int) -> None:
    """Pack an sdist again with one time, no owner and in order, since setuptools does not."""
    with tarfile.open(sdist) as packed:
        members = [(member, packed.extractfile(member)) for member in packed]
        contents = [(member, file.read() if file else b"") for member, file in members]
    with (
        sdist.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as packed,
    ):
        for member, content in sorted(contents, key=lambda pair: pair[0].name):
            packed.addfile(anonymous(member, epoch), io.BytesIO(content))


def anonymous(member: tarfile.TarInfo, epoch: int) -> tarfile.TarInfo:
    member.pax_headers = {}  # they repeat the time, to a fraction of a second
    return member.replace(mtime=epoch, uid=0, gid=0, uname="", gname="", deep=False)


def check_contents(sdist: Path, wheel: Path, committed: set[str]) -> None:
    """Refuse archives that lack a file of the commit, or have another one."""
    compare(wheel, in_wheel(wheel), {name for name in committed if name.startswith("app_metrics/")})
    compare(sdist, in_sdist(sdist), committed)


def compare(archive: Path, packed: set[str], expected: set[str]) -> None:
    if missing := expected - packed:
        raise Refused(f"{archive.name} lacks {', '.join(sorted(missing))}.")
    if foreign := packed - expected:
        raise Refused(f"{archive.name} should not have {', '.join(sorted(foreign))}.")


def files(source: Path) -> set[str]:
    """Return the paths of all files in a folder, relative to it."""
    found = (path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(source).as_posix() for path in found}


def in_wheel(wheel: Path) -> set[str]:
    """Return the files of a wheel but its metadata."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def in_sdist(sdist: Path) -> set[str]:
    """Return the files of an sdist but those that setuptools makes."""
    with tarfile.open(sdist) as packed:
        names = {member.name.partition("/")[2] for member in packed if member.isfile()}
    return {name for name in names if name != "PKG-INFO" and ".egg-info/" not in name}


def write_sbom(wheel: Path, environment: Path) -> None:
    """List the packages that come with the wheel into an empty environment."""
    SBOM.parent.mkdir(exist_ok=True)
    run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    python = str(environment / "bin" / "python")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", str(wheel))
    next(environment.rglob("direct_url.json")).unlink()  # it names a path of this machine
    options = ("--output-reproducible", "--mc-type", "library", "--output-file", str(SBOM))
    run(sys.executable, "-m", "cyclonedx_py", "environment", *options, python)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def run(*command: str) -> None:
    """Run a command; show its output only if it fails."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Refused(f"{' '.join(command)} failed:\n{done.stdout}")


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"This command failed: {' '.join(error.cmd)}")
