"""The errors Topshelf raises on purpose.

    TopshelfError                 anything we foresaw; carries the process's exit code
    ├── ConfigurationError   (2)  a wrong call or configuration: fix the call, then run again
    ├── DataError            (3)  the data break a rule: fix the data or the rule
    │   └── DataQualityError      a validation gate refused a table
    └── InfrastructureError  (4)  a store, disk, lock or service failed: usually worth a retry

The exit codes let a scheduler tell "do not retry, wake the owner of the data" (3) from "retry" (4).
"""


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
    """A validation gate refused a table; nothing downstream of the gate has changed."""


class InfrastructureError(TopshelfError):
    """A store, disk, lock or service failed; the same command may succeed later."""

    exit_code = 4
