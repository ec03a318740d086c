"""The project's errors: one family, one message each.

A message says what was found, what was expected, where, and what to do next. The command line prints
it without a stack trace; the run's manifest keeps it. Anything else that is raised is a defect of ours.
"""

import errno
import socket
from collections.abc import Iterable
from difflib import get_close_matches

from lib.base.secrets import mask


class PipelineError(Exception):
    """Base of every error a user can cause and correct."""


class ConfigError(PipelineError):
    """`pipeline.yml`, a sources file, a parameter or an environment variable is wrong (exit code 2)."""


class PassingError(PipelineError):
    """What can pass by itself, so that the same work done again later may succeed: a notebook is run again."""


class SourceError(PipelineError):
    """A source cannot be read: missing folder, no usable file, wrong address."""


class SourceUnavailableError(SourceError, PassingError):
    """A source is there, as far as can be told, but does not answer: its server is down, or the network."""


class LakeError(PipelineError):
    """The lake is damaged, belongs to another shop, or cannot be written."""


class LakeLockedError(LakeError, PassingError):
    """Another run is at work on the lake or the data folder."""


class WarehouseError(PipelineError):
    """The warehouse cannot be opened, queried or published."""


class WarehouseLockedError(WarehouseError, PassingError):
    """Somebody else holds what has to be changed."""


class WarehouseUnavailableError(WarehouseError, PassingError):
    """The warehouse's server does not answer."""


class ConnectionLostError(WarehouseError, PassingError):
    """The server went away, or closed the connection, in the middle of the work."""


class TransformError(PipelineError):
    """A dbt model failed to build."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the closest known word, or an empty string."""
    close = get_close_matches(word.lower(), {k.lower(): k for k in known}, n=1, cutoff=0.5)
    original = {k.lower(): k for k in known}
    return f" Did you mean {original[close[0]]!r}?" if close else ""


def explain(error: BaseException) -> str:
    """Return an error's message; of the operating system's, what happened, where, and what to look at."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    where = error.filename2 or error.filename
    found = f"{error.strerror}{f': {where}' if where else ''}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{found}. Nothing is lost or half done: free some space there and run again."
    return f"{found}. Check the path, and that this user may read and write there."


#: Of the system's errors those that a network, a server or a mounted share has for a while. A file that is missing, a
#: right that is missing and a disk that is full are none: somebody has to see to them.
_PASSING = frozenset(
    {
        *(errno.EAGAIN, errno.EIO, errno.EPIPE, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.ECONNREFUSED),
        *(errno.ECONNRESET, errno.ECONNABORTED, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    }
)


def can_pass(error: BaseException) -> bool:
    """Return whether an error can pass by itself: a lost connection, a server or a share that is away for a while."""
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    is_away = isinstance(error, OSError) and error.errno in _PASSING
    return is_away or isinstance(error, PassingError | ConnectionError | TimeoutError)


def in_one_line(error: BaseException) -> str:
    """Return an error's message on one line, without secrets."""
    return mask(" ".join(str(error).split()).rstrip(".?") or type(error).__name__)
