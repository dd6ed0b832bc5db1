#!/usr/bin/env bash
# A task of jobs/probe.json, which docs/first-project.md runs once: each task ends in another way, so that Batch
# shows how it reports that. It is no stage, and reads and writes no files.
set -euo pipefail

case "${BATCH_TASK_INDEX:?}" in
  0) # succeeds, and shows what a task is told and how much memory its machine has
    env | cut -d= -f1 | grep '^BATCH_' | sort | tr '\n' ' '
    grep MemTotal /proc/meminfo || true
    ;;
  1) exit 2 ;; # a mistake, which no policy retries
  2) [[ ${BATCH_TASK_RETRY_ATTEMPT:-0} -gt 0 ]] || exit 75 ;; # a temporary fault: the second attempt succeeds
  3) sleep 900 ;; # longer than its time limit
  4) # takes more memory than its machine of 2 GiB has; a larger machine stops it at 3 GiB
    ulimit -v 3145728
    tail /dev/zero
    ;;
esac
