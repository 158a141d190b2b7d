import asyncio
from collections.abc import Sequence

from penstock.api import Fetched, Record, SourceError, SourceUnavailable, Want
from penstock.core import commands as do
from penstock.core import facts
from penstock.shell.fetching import Fetching
from shell.twins import run, until


class Tap:
    """A source of which only `fetch` is used: it answers when the test pours, or after `slow_s`."""

    def __init__(self) -> None:
        self.asked: list[list[Want]] = []
        self.cancelled = 0
        self.slow_s: float | None = None
        self.failure: BaseException | None = None
        self.empty = False
        self._answer: asyncio.Future[Sequence[Fetched]] | None = None

    async def fetch(self, wants: Sequence[Want], *, wait_ms: int) -> Sequence[Fetched]:  # noqa: ARG002 - the protocol's
        self.asked.append(list(wants))
        if self.failure is not None:
            raise self.failure
        if self.empty:
            return []
        try:
            if self.slow_s is not None:
                await asyncio.sleep(self.slow_s)
                return [found(want.shard, want.after + 1) for want in wants]
            self._answer = asyncio.get_running_loop().create_future()
            return await self._answer
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    @property
    def is_waiting(self) -> bool:
        return self._answer is not None and not self._answer.done()

    def pour(self, *answers: Fetched) -> None:
        assert self._answer is not None
        self._answer.set_result(answers)

    @property
    def asked_last(self) -> list[str]:
        return [want.shard for want in self.asked[-1]]


def found(shard: str, position: int) -> Fetched:
    return Fetched(shard, [Record(position, b"x", None, 0)], position, 1)


def fetching(tap: Tap, bugs: list[BaseException] | None = None) -> Fetching:
    heard: list[BaseException] = [] if bugs is None else bugs
    return Fetching(tap, on_answer=lambda _: None, on_bug=heard.append)  # type: ignore[arg-type] # only fetch is used


def fetch(number: int, after: int = -1) -> do.Fetch:
    return do.Fetch(number, after, 100, 1000)


def test_wants_that_come_together_go_in_one_fetch():
    async def scenario() -> None:
        tap = Tap()
        merged = fetching(tap)

        merged.want("a", fetch(1), lambda _: None)
        merged.want("b", fetch(1), lambda _: None)
        await until(lambda: tap.is_waiting)

        assert [[want.shard for want in wants] for wants in tap.asked] == [["a", "b"]]
        await merged.close()

    run(scenario())


def test_a_new_want_ends_the_fetch_that_waits_and_asks_again_with_all():
    async def scenario() -> None:
        tap = Tap()
        merged = fetching(tap)
        merged.want("a", fetch(1), lambda _: None)
        await until(lambda: tap.is_waiting)

        merged.want("b", fetch(1), lambda _: None)
        await until(lambda: len(tap.asked) == 2)

        assert (tap.cancelled, tap.asked_last) == (1, ["a", "b"])
        await merged.close()

    run(scenario())


def test_a_shard_without_an_answer_stays_wanted():
    async def scenario() -> None:
        tap, answers = Tap(), []
        merged = fetching(tap)
        merged.want("a", fetch(1), answers.append)
        merged.want("b", fetch(2), answers.append)
        await until(lambda: tap.is_waiting)

        tap.pour(found("b", 0))
        await until(lambda: len(tap.asked) == 2)

        assert [(type(answer), answer.id) for answer in answers] == [(facts.RecordsFetched, 2)]
        assert tap.asked_last == ["a"]
        await merged.close()

    run(scenario())


def test_an_answer_to_a_want_that_was_replaced_is_not_handed_out():
    async def scenario() -> None:
        tap, answers = Tap(), []
        merged = fetching(tap)
        merged.want("a", fetch(1, after=-1), answers.append)
        await until(lambda: tap.is_waiting)

        merged.want("a", fetch(2, after=50), answers.append)
        tap.pour(found("a", 0))
        await until(lambda: len(tap.asked) == 2)

        assert answers == []
        assert tap.asked[-1][0].after == 50
        await merged.close()

    run(scenario())


def test_a_source_that_fails_answers_every_want():
    async def scenario() -> None:
        tap, answers = Tap(), []
        tap.failure = SourceUnavailable("the broker is away")
        merged = fetching(tap)

        merged.want("a", fetch(1), answers.append)
        merged.want("b", fetch(2), answers.append)
        await until(lambda: len(answers) == 2)

        assert answers == [
            facts.SourceFailed(1, "the broker is away"),
            facts.SourceFailed(2, "the broker is away"),
        ]
        await merged.close()

    run(scenario())


def test_what_is_no_source_error_is_a_bug():
    async def scenario() -> None:
        tap, bugs = Tap(), []
        tap.failure = KeyError("oops")
        merged = fetching(tap, bugs)

        merged.want("a", fetch(1), lambda _: None)
        await until(lambda: bugs)

        assert isinstance(bugs[0], KeyError)
        assert not isinstance(bugs[0], SourceError)
        await merged.close()

    run(scenario())


def test_wants_that_keep_coming_do_not_keep_a_slow_source_from_answering():
    async def scenario() -> None:
        tap, answers = Tap(), []
        tap.slow_s = 0.06
        merged = fetching(tap)
        merged.want("patient", fetch(1), answers.append)

        async def hurry() -> None:
            number = 1
            while True:
                number += 1
                merged.want("hasty", fetch(number), lambda _: None)
                await asyncio.sleep(0.004)

        hurrying = asyncio.create_task(hurry())
        await until(lambda: answers)
        hurrying.cancel()

        assert tap.cancelled > 0
        await merged.close()

    run(scenario())


def test_a_source_that_answers_nothing_at_once_is_not_asked_in_a_frenzy():
    async def scenario() -> None:
        tap = Tap()
        tap.empty = True
        merged = fetching(tap)

        merged.want("a", fetch(1), lambda _: None)
        await asyncio.sleep(0.2)
        await merged.close()

        assert 2 <= len(tap.asked) <= 6

    run(scenario())


def test_a_shard_that_is_forgotten_is_not_asked_for_again():
    async def scenario() -> None:
        tap = Tap()
        merged = fetching(tap)
        merged.want("a", fetch(1), lambda _: None)
        merged.want("b", fetch(2), lambda _: None)
        await until(lambda: tap.is_waiting)

        merged.forget("a")
        tap.pour()
        await until(lambda: len(tap.asked) == 2)

        assert tap.asked_last == ["b"]
        await merged.close()

    run(scenario())
