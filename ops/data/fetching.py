"""Several files at once, handed over in the order in which they were asked for."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from ops.data import download

AT_ONCE = 4
AHEAD = 12  # files that may wait in memory
GRACE_SECONDS = 5  # after which a thread that should have given up is not waited for

Asked, Found = TypeVar("Asked"), TypeVar("Found")


class _Fetches(Generic[Asked, Found]):
    """Threads that answer questions; none keeps the process alive, so that Ctrl-C ends it at once."""

    def __init__(self, ask: Callable[[Asked], Found], questions: Sequence[Asked]):
        self.ask, self.questions = ask, questions
        self.boxes: list[queue.SimpleQueue] = [queue.SimpleQueue() for _ in questions]
        self.waiting = iter(list(enumerate(questions)))
        self.taking, self.room = threading.Lock(), threading.Semaphore(AHEAD)
        for _ in range(min(AT_ONCE, len(questions))):
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            self.room.acquire()
            with self.taking:
                index, question = next(self.waiting, (None, None))
            if index is None:
                return
            try:
                self.boxes[index].put((self.ask(question), None))
            except BaseException as error:  # raised again where the answer is read
                self.boxes[index].put((None, error))

    def stop(self) -> None:
        with self.taking:
            self.waiting = iter(())
        self.room.release(AT_ONCE)


def in_order(
    ask: Callable[[Asked], Found], questions: Sequence[Asked], name: Callable[[Asked], str]
) -> Iterator[tuple[Asked, Found]]:
    """Yield each question with its answer; a few are asked at the same time.

    Raises
    ------
    UserError
        That of the first question that failed; or there is no answer within the time for a file.
    """
    fetches = _Fetches(ask, questions)
    try:
        for question, box in zip(questions, fetches.boxes, strict=True):
            try:
                answer, error = box.get(timeout=download.FILE_SECONDS + GRACE_SECONDS)
            except queue.Empty:
                raise download.too_slow(name(question)) from None
            if error is not None:
                raise error
            yield question, answer
            fetches.room.release()
    finally:
        fetches.stop()
