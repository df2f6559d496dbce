"""The errors Topshelf raises on purpose.

    TopshelfError                 anything we foresaw; carries the process's exit code
    ├── ConfigurationError   (2)  a wrong call or configuration: fix the call, then run again
    ├── DataError            (3)  the data break a rule: fix the data or the rule
    │   └── DataQualityError      validation refused a table
    └── InfrastructureError  (4)  a store, disk, lock or service failed: usually worth a retry

The exit codes let a scheduler tell "do not retry, wake the owner of the data" (3) from "retry" (4).
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# The exit code of a gate that refused: no error, but nothing follows.
EXIT_REFUSED: Final = 99

# What the operating system refuses on account of the machine, with what to do about it.
REMEDIES: Final = {
    errno.EACCES: "Give the user of this process the right to it.",
    errno.EPERM: "Give the user of this process the right to it.",
    errno.EROFS: "Mount it writable, or change [paths] in the configuration.",
    errno.ENOSPC: "Free space on its disk.",
    errno.EDQUOT: "Free space, or have the quota raised.",
    errno.EIO: "Check the disk: the system's log says what failed.",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`).",
    errno.ENFILE: "Raise the system's limit of open files.",
}


class TopshelfError(Exception):
    """Base of every foreseen error; the message is written for the person who has to act on it."""

    exit_code = 1


class ConfigurationError(TopshelfError):
    """The call or the configuration is wrong; running again unchanged cannot help."""

    exit_code = 2


class DataError(TopshelfError):
    """Input data break a rule that has no safe automatic remedy."""

    exit_code = 3


class DataQualityError(DataError):
    """Validation refused a table; nothing downstream of it has changed."""


class InfrastructureError(TopshelfError):
    """A store, disk, lock or service failed; the same command may succeed later."""

    exit_code = 4


@contextmanager
def foreseeing_system_failures() -> Iterator[None]:
    """Raise ``InfrastructureError``, with file and remedy, for what the operating system refuses.

    Other ``OSError``s, such as a file that our own code should have made, pass as they are.
    """
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        raise InfrastructureError(
            f"{error.filename or 'a file'}: {error.strerror}. {remedy} Then run again; nothing "
            "half-written is visible."
        ) from error
