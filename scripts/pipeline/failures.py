"""Exit codes of a stage: 0 done, 2 the input or a setting is wrong, 75 a temporary fault, 1 our bug.

Batch retries 75 and its own codes for lost machines, never 2.
"""

import errno
import logging
import traceback
from collections.abc import Callable

from modeling.failures import TemporaryFault, UserError

__all__ = ["TemporaryFault", "UserError", "exit_code_of"]

INTERRUPTED = 130


def exit_code_of(work: Callable[[], None], log: logging.Logger) -> int:
    """Run a stage and return its exit code; a failure is logged as one line, a bug with its traceback."""
    try:
        work()
    except (UserError, TemporaryFault) as error:
        log.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        log.error("interrupted; finished work is kept, run the stage again to continue")
        return INTERRUPTED
    except Exception as error:
        if full_disk := disk_failure(error):
            log.error(str(full_disk))
            return full_disk.exit_code
        log.critical("a bug in the pipeline: %s\n%s", error, traceback.format_exc())
        return 1
    return 0


def disk_failure(error: BaseException, act: str = "") -> UserError | None:
    """Return the error of one line for a full disk or a denied access; None for anything else.

    Parameters
    ----------
    act : str
        "read" or "written", where it is known.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"no space left on the disk ({error.filename or 'temporary files'}); free some and run again"
        )
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.EIO, errno.ESTALE):
        return UserError(
            f"{error.filename or 'temporary files'}: the disk cannot read or write it ({error.strerror}); "
            "check the disk, and `ulimit -f` where the file is too large"
        )
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UserError(f"{error.filename}: the name is too long for a file; shorten DIR_PREFIX or EXP_ID")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        done = act or ("written" if error.errno == errno.EROFS else "read or written")
        return UserError(
            f"{error.filename}: cannot be {done} ({error.strerror}); check its owner and permissions"
        )
    return None
