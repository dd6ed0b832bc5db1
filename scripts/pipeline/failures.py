"""How a stage ends: 0 done, 2 the input or a setting is wrong, 75 a passing fault, 1 our bug.

Batch retries 75 and its own preemption codes, never 2.
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
        log.error("interrupted; what is finished is kept, run the stage again to go on")
        return INTERRUPTED
    except Exception as error:
        if full_disk := disk_failure(error):
            log.error(str(full_disk))
            return full_disk.exit_code
        log.critical("a bug in the pipeline: %s\n%s", error, traceback.format_exc())
        return 1
    return 0


def disk_failure(error: BaseException, act: str = "") -> UserError | None:
    """Return the one-line error of a full disk or a refused access, None for anything else.

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
            f"{error.filename or 'temporary files'}: the disk does not take or give it ({error.strerror}); "
            "check the disk, and `ulimit -f` where it is a file too large"
        )
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UserError(f"{error.filename}: too long for the name of a file; shorten DIR_PREFIX or EXP_ID")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        done = act or ("written" if error.errno == errno.EROFS else "read or written")
        return UserError(
            f"{error.filename}: may not be {done} ({error.strerror}); check its owner and rights"
        )
    return None
