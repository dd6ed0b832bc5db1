"""Whether a task gets another attempt, and the exit codes that Batch itself assigns.

A lifecycle policy decides alone: RETRY_TASK fails the exit codes it does not list, FAIL_TASK retries them.
The documentation contradicts itself on whether a task that exceeds its time limit is retried without being
listed; here it is not.
"""

from dataclasses import dataclass

UNKNOWN_CAUSE = 50000
OVER_TIME = 50005
RESERVED = {
    UNKNOWN_CAUSE: "the task failed for a cause that is not known",
    50001: "the Spot VM was preempted",
    50002: "the VM did not report in time",
    50003: "the VM was rebooted",
    50004: "the VM and the task did not respond",
    OVER_TIME: "the task ran longer than allowed",
    50006: "the VM was recreated",
}


@dataclass(frozen=True)
class RetryRule:
    """maxRetryCount and the lifecycle policy of a job."""

    max_retry_count: int = 0
    action: str = ""  # RETRY_TASK, FAIL_TASK; empty: no policy
    exit_codes: frozenset[int] = frozenset()

    def allows_retry(self, exit_code: int, attempt: int) -> bool:
        """Return whether another attempt follows one (0 is the first) that ended with this exit code."""
        if exit_code == 0 or attempt >= self.max_retry_count:
            return False
        is_listed = exit_code in self.exit_codes
        if self.action == "RETRY_TASK":
            return is_listed
        if exit_code == OVER_TIME:
            return False
        return not (self.action == "FAIL_TASK" and is_listed)
