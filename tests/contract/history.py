"""What git remembers: committed contracts and samples, as they were at HEAD and at the latest release."""

import shutil
import subprocess
from pathlib import Path


def git(root: Path, *arguments: str) -> str | None:
    """What git answers, or None when it is absent or refuses."""
    program = shutil.which("git")
    if program is None:
        return None
    done = subprocess.run([program, "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def bases(root: Path) -> list[str]:
    """HEAD, which shows an uncommitted break, and the latest tag, which shows one committed since; may be empty."""
    top = git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top.strip()).resolve() != root.resolve() or git(root, "rev-parse", "HEAD") is None:
        return []
    tag = git(root, "describe", "--tags", "--abbrev=0")
    return ["HEAD", *([tag.strip()] if tag else [])]


def committed(root: Path, base: str, path: Path) -> str | None:
    """The text of a file (its path relative to the root) as it was then; None when it was not there."""
    return git(root, "show", f"{base}:{path.as_posix()}")


def committed_files(root: Path, base: str, folder: Path) -> list[Path]:
    """The files below a folder as they were then, relative to the root."""
    listed = git(root, "ls-tree", "-r", "--name-only", base, "--", folder.as_posix())
    return [Path(line) for line in (listed or "").splitlines()]


def altered(root: Path, base: str, folder: Path) -> list[str]:
    """Committed files below the folder that have been modified or deleted since; new ones are welcome."""
    changed = git(
        root, "diff", "--no-renames", "--name-only", "--diff-filter=a", base, "--", folder.as_posix()
    )
    return (changed or "").splitlines()
