"""W9a with asyncio: loop.call_later and the cancel of its handle, which leaves the timer in the heap until later."""
import asyncio
import random

from bench import argument, now, report

HOUR = 3600.0


def nothing():
    pass


def arm(loop, delays, figure):
    start = now()
    timers = [loop.call_later(delay, nothing) for delay in delays]
    report(figure, start, now(), len(delays))
    return timers


def cancel(timers, figure):
    start = now()
    for timer in timers:
        timer.cancel()
    if figure:
        report(figure, start, now(), len(timers))


async def main(n):
    loop = asyncio.get_running_loop()
    delays = [HOUR + random.random() * HOUR for _ in range(n)]
    cancel(arm(loop, delays, "arm, in fresh memory"), "cancel")
    await asyncio.sleep(0)  # the loop sweeps the cancelled ones out of its heap
    cancel(arm(loop, delays, "arm again"), None)


asyncio.run(main(argument(1, 200000)))
