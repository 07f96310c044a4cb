"""Requests about the job as the front makes them, while something in the front keeps prints from beginning."""

import pytest

from daemon.bridge import questions as ask
from daemon.bridge import remote
from daemon.bridge.remote import RemoteJobs
from daemon.bridge.snapshot import JobSummary, Snapshot
from daemon.bridge.words import FileStatistics, JobState
from daemon.errors import JobConflict

REASON = "the printer is about to be switched off"


class Channel:
    """Keeps the questions; the core's job is in one state."""

    def __init__(self, state):
        self.state = state
        self.asked = []
        self.open_starts = []

    def latest(self):
        return Snapshot(job=JobSummary(state=self.state, active=True))

    async def ask(self, question):
        self.asked.append(question)
        self.open_starts.append(self.jobs.open_starts)


def jobs_of(state, reason=REASON):
    channel = Channel(state)
    channel.jobs = jobs = RemoteJobs(channel)
    jobs.reason_not_to_print = lambda: reason
    return jobs, channel


@pytest.mark.parametrize("method", ["start", "restart", "resume", "begin"])
async def test_nothing_begins_or_resumes_while_prints_are_held(method):
    jobs, channel = jobs_of(JobState.PAUSED)
    with pytest.raises(JobConflict, match=REASON):
        await getattr(jobs, method)(*((None, "key", "mark") if method == "begin" else ()))
    assert (channel.asked, jobs.open_starts) == ([], 0)


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.REATTACHING])
async def test_a_toggle_that_might_resume_is_refused_meanwhile(state):
    jobs, channel = jobs_of(state)
    with pytest.raises(JobConflict, match=REASON):
        await jobs.toggle()
    assert channel.asked == []


@pytest.mark.parametrize("state", [JobState.PRINTING, JobState.STARTING, JobState.PAUSING])
async def test_any_other_toggle_pauses_whatever_the_state_is_by_then(state):
    jobs, channel = jobs_of(state)
    await jobs.toggle()
    assert channel.asked == [ask.Pause()]


async def test_pause_and_cancel_are_never_held():
    jobs, channel = jobs_of(JobState.PRINTING)
    await jobs.pause()
    await jobs.cancel()
    assert channel.asked == [ask.Pause(), ask.Cancel()]


@pytest.mark.parametrize("method", ["start", "restart", "resume", "toggle"])
async def test_requests_that_begin_or_resume_are_counted_until_they_are_answered(method):
    jobs, channel = jobs_of(JobState.PAUSED, reason=None)
    await getattr(jobs, method)()
    assert (channel.open_starts, jobs.open_starts) == ([1], 0)


async def test_the_histories_of_all_files_are_collected_piece_by_piece(monkeypatch):
    """In the order of SQLite, which compares bytes: "Ä" comes after "z"."""
    jobs, channel = jobs_of(None)
    paths, asked = ["a", "b", "z", "Ä", "日", "🐻"], []

    async def ask_for_two(question):
        asked.append(question.after)
        following = [path for path in paths if path.encode() > question.after.encode()]
        return {path: FileStatistics() for path in following[:2]}

    monkeypatch.setattr(channel, "ask", ask_for_two)
    assert [*await jobs.histories()] == paths
    assert asked == ["", "b", "Ä", "🐻"]
    monkeypatch.setattr(remote, "MAX_HISTORIES", 3)
    assert [*await jobs.histories()] == paths[:4], "about so many"
