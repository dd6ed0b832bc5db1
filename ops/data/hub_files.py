"""Which files of a hub are asked for, and as which of ours they are kept."""

import datetime
from dataclasses import dataclass

from modeling.weeks import WEEK, saturdays
from ops.data.checks import as_of_archived, check_model_output, check_target
from ops.data.download import Answer
from ops.data.fetching import in_order
from ops.data.keeping import Fetched, Keeper
from ops.data.sources import ARCHIVED, MODEL_OUTPUT, NEWEST, Source
from ops.data.store import VINTAGE, Newest, NotWritten, Store
from ops.failures import UserError
from ops.terminal import counted

MOST_BYTES = 50_000_000  # the hub's largest file of this kind has 2 million


@dataclass(frozen=True)
class Question:
    """One file of a hub.

    Attributes
    ----------
    name : str
        Our file, as far as known before it is read; "" for the newest target data.
    etag : str
        Version that we have; "" for none.
    date : date
        Saturday in its name.
    """

    path: str
    name: str
    etag: str = ""
    date: datetime.date = datetime.date.min
    model: str = ""


@dataclass(frozen=True)
class Hub:
    """A source in the layout of the FluSight forecast hub, and what we have of it."""

    source: Source
    keeper: Keeper

    @property
    def store(self) -> Store:
        return self.keeper.store

    def questions(self, since: datetime.date, models: list[str]) -> list[Question]:
        """Return what is asked for: the newest target data, archived ones, and forecasts of models."""
        today = self.keeper.today
        archived = [self._archived(week) for week in saturdays(since, today)]
        forecasts = [
            self._forecast(model, date) for model in models for date in saturdays(since, today + WEEK)
        ]
        return [self._newest(), *(each for each in [*archived, *forecasts] if each)]

    def _newest(self) -> Question:
        newest = self.store.newest
        is_known = newest.address == self.source.address(NEWEST) and self.store.has_counts(newest.counts)
        return Question(NEWEST, "", newest.etag if is_known else "")

    def _archived(self, week: datetime.date) -> Question | None:
        path = ARCHIVED.format(week=week)
        as_of = as_of_archived(week, week)
        if as_of > self.keeper.today:  # not released; the newest data may have the week
            return None
        name = self.store.by_address(self.source.address(path)) or VINTAGE.format(as_of=as_of)
        entry = self.store.entries.get(name)
        is_there = entry is not None and self.store.is_file(name)
        if is_there and entry.address != self.source.address(path) and entry.newest_week >= str(week):
            return None
        return self._question(Question(path, name, date=week))

    def _forecast(self, model: str, date: datetime.date) -> Question | None:
        path = MODEL_OUTPUT.format(model=model, date=date)
        return self._question(Question(path, path, date=date, model=model))

    def _question(self, plain: Question) -> Question | None:
        """Return the question with the version that we have; None if it need not be asked."""
        entry = self.store.entries.get(plain.name)
        if plain.name in self.keeper.damaged:
            return None
        is_same = entry is not None and entry.address == self.source.address(plain.path)
        if not is_same or not self.source.is_web or not self.store.is_file(plain.name):
            return plain
        if not entry.etag and not self.keeper.accept_changes:  # only a second download would tell
            return None
        return Question(plain.path, plain.name, entry.etag, plain.date, plain.model)

    def fetch(self, questions: list[Question]) -> None:
        """Ask for files and keep them; a file that is refused is noted, and the others are kept.

        Raises
        ------
        UserError
            The source cannot be reached or is none, or a file cannot be written.
        """
        newest = None
        for question, answer in in_order(self._ask, questions, lambda each: self.source.address(each.path)):
            if not question.name:
                newest = self._checked_newest(answer)
            elif answer.status == "missing":
                self.keeper.counts[f"missing {question.model}"] += 1
            elif answer.status == "unchanged":
                self.keeper.counts["unchanged"] += 1
            else:
                self._attempt(self._take, question, answer)
        if newest:  # last, so that the archive's name of the same data comes first
            self._attempt(self._take_newest, newest)

    def _ask(self, question: Question) -> Answer:
        return self.source.read(question.path, question.etag, MOST_BYTES)

    def _checked_newest(self, answer: Answer) -> Answer | None:
        if answer.status == "missing":
            raise UserError(
                f"{self.source.address(NEWEST)}: not there; check TARGET_DATA_SOURCE, the folder or address "
                "of a hub"
            )
        return answer if answer.status == "found" else None

    def _attempt(self, take, *arguments) -> None:
        try:
            take(*arguments)
        except NotWritten:
            raise
        except UserError as error:
            self.keeper.problems.append(error)

    def _take(self, question: Question, answer: Answer) -> None:
        address = self.source.address(question.path)
        fetched = Fetched(address, answer.content, answer.etag)
        if question.model:
            check_model_output(answer.content, address, question.date)
            self.keeper.take(question.name, fetched)
            return
        facts = check_target(answer.content, address)
        as_of = as_of_archived(question.date, facts.newest_week)
        if facts.newest_week != question.date:
            print(f"{address}: its newest week is {facts.newest_week}; taken as known on {as_of}", flush=True)
        self.keeper.take_vintage(as_of, fetched, facts)

    def _take_newest(self, answer: Answer) -> None:
        address = self.source.address(NEWEST)
        facts = check_target(answer.content, address)
        for location, rows in facts.ignored.items():
            print(f"{address}: not used: {counted(rows, 'row')} of location {location}", flush=True)
        if not self.store.has_counts(facts.digest):
            fetched = Fetched(address, answer.content, answer.etag)
            self.keeper.take_vintage(self.keeper.today, fetched, facts)
        self.store.remember_newest(Newest(address, answer.etag, facts.digest))
