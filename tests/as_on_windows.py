"""Run a module as on Windows, as far as Python can tell: python tests/as_on_windows.py MODULE …

For code in video_gc/ and tools/, os.name is "nt", what Python's documentation calls available on
Unix only is missing from os and signal, and its modules cannot be imported; links need a
privilege, open files cannot be renamed or removed, folders cannot be opened, and a text file
without an encoding is an error. Libraries and Python's own modules see the system that there is.
"""

import builtins
import os
import runpy
import signal
import sys
import warnings
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
OURS = (f"{ROOT}/video_gc/", f"{ROOT}/tools/")
STANDARD = ("/pathlib.py", "/_local.py", "/shutil.py", "/tempfile.py", "/zipfile.py")
MODULES = "fcntl grp posix pty pwd readline resource syslog termios tty"
OS = """
    O_ACCMODE O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_LARGEFILE O_NDELAY O_NOATIME O_NOCTTY
    O_NOFOLLOW O_NONBLOCK O_PATH O_RSYNC O_SYNC O_TMPFILE chown chroot confstr ctermid environb
    eventfd fchdir fchmod fchown fdatasync fork forkpty fpathconf fstatvfs fwalk get_blocking
    getegid getenvb geteuid getgid getgrouplist getgroups getloadavg getpgid getpgrp getpriority
    getrandom getresgid getresuid getsid getuid getxattr grantpt initgroups killpg lchown listxattr
    lockf login_tty major makedev memfd_create minor mkfifo mknod name nice openpty pathconf
    pidfd_open pipe2 posix_fadvise posix_fallocate posix_openpt posix_spawn posix_spawnp pread preadv
    pwrite pwritev readv register_at_fork removexattr sched_getaffinity sched_getparam
    sched_getscheduler sched_setaffinity sched_yield sendfile set_blocking setegid seteuid setgid
    setgroups setns setpgid setpriority setregid setresgid setresuid setreuid setsid setuid setxattr
    splice statvfs sync sysconf tcgetpgrp tcsetpgrp uname unshare wait wait3 wait4 waitid writev
"""
"""Names of os without Windows in their "Availability"; `name` has another value there."""
SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}
"""All that signal.signal takes on Windows, but SIGBREAK, which is only there."""
SIGNAL = """
    ITIMER_PROF ITIMER_REAL ITIMER_VIRTUAL alarm getitimer pause pidfd_send_signal pthread_kill
    pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait sigwaitinfo
"""
FORBIDDEN = set('<>:"|?*')  # in names of files


def hide(module: ModuleType, names: list[str], **others: object) -> None:
    """Take the names from the module for our code; others: values that it finds instead."""
    hidden = {name: vars(module).pop(name) for name in names if hasattr(module, name)}

    def found(name: str) -> Any:
        if name in hidden and not sys._getframe(1).f_code.co_filename.startswith(OURS):
            return hidden[name]
        if name in others:
            return others[name]
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r} on Windows")

    module.__getattr__ = found  # type: ignore[method-assign]


def is_ours(frame: FrameType | None) -> bool:
    """Whether our code opens, renames … a file, by itself or with a library of Python's."""
    while frame and frame.f_code.co_filename.endswith(STANDARD):
        frame = frame.f_back
    return bool(frame and frame.f_code.co_filename.startswith(OURS))


def importing(name: str, *given: Any, **named: Any) -> Any:
    """In place of __import__."""
    if name in MODULES.split() and sys._getframe(1).f_code.co_filename.startswith(OURS):
        raise ModuleNotFoundError(f"No module named {name!r} on Windows")
    return real_import(name, *given, **named)


def audit(event: str, given: tuple[Any, ...]) -> None:
    """Refuse what Windows would refuse our code."""
    if event not in ("open", "os.rename", "os.remove", "os.symlink"):
        return
    if not is_ours(sys._getframe(1)):
        return
    paths = [os.fsdecode(path) for path in given[:2] if isinstance(path, str | bytes | os.PathLike)]
    if event == "os.symlink":
        raise OSError(22, "A required privilege is not held by the client", paths[1])
    if event == "open":
        if paths and os.path.isdir(paths[0]):
            raise PermissionError(13, "Permission denied", paths[0])
        if paths and not paths[0].startswith("/dev/") and FORBIDDEN & set(Path(paths[0]).name):
            raise OSError(22, "Invalid argument", paths[0])
    for path in paths if event != "open" else ():
        if os.path.abspath(path) in in_use():
            raise PermissionError(13, "The process cannot access the file", path)


def in_use() -> set[str]:
    """The files that this process has open or mapped."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        if os.path.exists(link := f"/proc/self/fd/{number}"):
            found.add(os.readlink(link))
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return found | {line.split(maxsplit=5)[5] for line in maps if "/" in line}


def import_all() -> None:
    """Import every module of the package, and print their number."""
    names = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in sorted((ROOT / "video_gc").rglob("*.py"))
    ]
    for name in names:
        __import__(name)
    print(len(names), "modules")


if __name__ == "__main__":
    warnings.filterwarnings("error", category=EncodingWarning, module=r"video_gc|tools")
    real_import, builtins.__import__ = builtins.__import__, importing  # type: ignore[assignment]
    gone = [name for name in vars(signal) if name.startswith("SIG") and name not in SIGNALS]
    kept = {"SIG_DFL", "SIG_IGN"}
    hide(signal, [*SIGNAL.split(), *(name for name in gone if name not in kept)])
    hide(os, OS.split(), name="nt")
    sys.addaudithook(audit)
    sys.path.insert(0, str(ROOT))
    del sys.argv[0]
    if sys.argv[0] == "all":
        import_all()
    else:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
