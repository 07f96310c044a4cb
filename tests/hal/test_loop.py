import asyncio
import time

from hal.loop import WatchedLoop


def test_a_stall_is_seen_once():
    async def main(loop):
        await asyncio.sleep(0.001)
        loop.watch.take_longest()
        time.sleep(0.03)  # noqa: ASYNC251 - the stall that is to be seen
        await asyncio.sleep(0.001)
        return loop.watch.take_longest(), loop.watch.take_longest(), loop.watch.woke_at, loop.time()

    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        stalled, after, woke_at, now = runner.run(main(runner.get_loop()))
    assert stalled >= 0.03
    assert after < 0.03
    assert 0 < woke_at <= now
