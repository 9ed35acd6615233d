"""The private root of one container: a mount namespace in which its volumes lie at their mount paths.

Not a security boundary and no image: a container sees the host's own files, plus its volumes, its `/etc/hosts` and its
termination log. Runs in the container's first process (see `shim.py`), so it imports nothing but the standard library.

Mount points that the host lacks are made on a tmpfs that exists in this namespace only: a directory that must grow
becomes a tmpfs whose entries are bind mounts of the original's. So nothing is ever left behind on the host.
"""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

_MS_RDONLY = 0x1
_MS_REMOUNT = 0x20
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_MS_UNBINDABLE = 0x20000
_MNT_DETACH = 0x2
# Flags that an unprivileged remount has to repeat: nosuid, nodev, noexec, noatime, nodiratime; relatime below.
_LOCKED_FLAGS = 0x2 | 0x4 | 0x8 | 0x400 | 0x800
_STATVFS_RELATIME, _MS_RELATIME = 0x1000, 0x200000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Mount:
    """One bind mount: a path of the host shown at a path of the container."""

    source: str
    target: str
    read_only: bool = False


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags`; OSError when the kernel refuses."""
    _check(_libc.unshare(flags), "unshare")


def become_root_of_a_user_namespace() -> None:
    """Without root: a user namespace in which this user is root, which may mount."""
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent dies (PR_SET_PDEATHSIG)."""
    _check(_libc.prctl(1, 9, 0, 0, 0), "prctl")


def set_hostname(name: str) -> None:
    """The pod's host name, in its own UTS namespace (at most 64 bytes)."""
    encoded = name.encode()[:64]
    _check(_libc.sethostname(encoded, len(encoded)), "sethostname")


def enter_private_root(root: str, mounts: list[Mount]) -> None:
    """Build the container's view of the file system under `root` (an empty directory of the host) and move into it."""
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", 0, "mode=755")
    _mount("none", root, None, _MS_UNBINDABLE)  # or the binds below would carry the half-built root along
    _fill("/", root)
    view = _View(Path(root))
    for mount in sorted(mounts, key=lambda one: one.target.count("/")):
        view.place(mount)
    _mount_proc(f"{root}/proc")
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")


class _View:
    """The root under construction: knows which directories are this namespace's own and may be written to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own_devices = {root.stat().st_dev}
        self.writable_volumes: list[Path] = []

    def place(self, mount: Mount) -> None:
        target = self._resolved(mount.target)
        source_is_directory = Path(mount.source).is_dir()
        self._make_mount_point(target, source_is_directory)
        inside = self._inside(target)
        _mount(mount.source, inside, None, _MS_BIND | _MS_REC)
        if mount.read_only:
            _mount("none", inside, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _locked_flags(inside))
        elif source_is_directory:
            self.writable_volumes.append(target)

    def _make_mount_point(self, target: Path, is_directory: bool) -> None:
        if os.path.lexists(self._inside(target)):
            return
        ancestor = next(parent for parent in target.parents if Path(self._inside(parent)).is_dir())
        if not self._may_write_to(ancestor):
            self._let_grow(ancestor)
        Path(self._inside(target.parent)).mkdir(parents=True, exist_ok=True)
        if is_directory:
            Path(self._inside(target)).mkdir(exist_ok=True)
        else:
            Path(self._inside(target)).touch()

    def _may_write_to(self, directory: Path) -> bool:
        if Path(self._inside(directory)).stat().st_dev in self.own_devices:
            return True
        return any(directory.is_relative_to(volume) for volume in self.writable_volumes)

    def _let_grow(self, directory: Path) -> None:
        """Replace a directory of the host by a tmpfs with the same entries."""
        inside = self._inside(directory)
        original = os.open(inside, os.O_PATH | os.O_DIRECTORY)
        try:
            _mount("tmpfs", inside, "tmpfs", 0, "mode=755")
            _fill(f"/proc/self/fd/{original}", inside)
        finally:
            os.close(original)
        self.own_devices.add(Path(inside).stat().st_dev)

    def _resolved(self, target: str) -> Path:
        """`target` with the symlinks of its parents followed inside the new root (`/var/run` is often `/run`)."""
        path = Path("/")
        for part in Path(target).parts[1:]:
            path = path / part
            inside = Path(self._inside(path))
            if inside.is_symlink():
                path = Path(os.path.normpath(path.parent / inside.readlink()))
        return path

    def _inside(self, path: Path) -> str:
        return str(self.root / path.relative_to("/"))


def _fill(original: str, copy: str) -> None:
    for entry in os.scandir(original):
        target = f"{copy}/{entry.name}"
        if entry.is_symlink():
            Path(target).symlink_to(Path(entry.path).readlink())
            continue
        if entry.is_dir():
            Path(target).mkdir()
        else:
            Path(target).touch()
        _mount(entry.path, target, None, _MS_BIND | _MS_REC)


def _mount_proc(target: str) -> None:
    """A /proc of the own PID namespace; where the kernel refuses one (masked /proc), the host's stays and works too."""
    try:
        _mount("proc", target, "proc", 0)
    except PermissionError:
        return


def _locked_flags(path: str) -> int:
    flags = os.statvfs(path).f_flag
    return (flags & _LOCKED_FLAGS) | (_MS_RELATIME if flags & _STATVFS_RELATIME else 0)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode() if kind else None, flags, data.encode() if data else None
    )
    _check(result, f"mount {source} at {target}")


def _check(result: int, what: str) -> None:
    if result == 0:
        return
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")
