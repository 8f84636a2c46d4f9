"""W8 with asyncio.gather, on its one thread."""
import asyncio

from bench import argument, now, report


async def empty():
    pass


async def main(n):
    futures = [asyncio.create_task(empty()) for _ in range(n)]
    await asyncio.gather(*futures)
    start = now()
    await asyncio.gather(*futures)
    report("gather, a child that is done", start, now(), n)
    del futures
    start = now()
    await asyncio.gather(*[asyncio.create_task(empty()) for _ in range(n)])
    report("submit and gather, a child", start, now(), n)


asyncio.run(main(argument(2, 100000)))
