"""W2 with concurrent.futures.ThreadPoolExecutor."""
from concurrent.futures import ThreadPoolExecutor

from bench import argument, cpu, now, report


def empty():
    pass


def batch(pool, n, time, cpu_time):
    cpu_before, start = cpu(), now()
    futures = [pool.submit(empty) for _ in range(n)]
    for future in reversed(futures):
        future.result()
    end, cpu_after = now(), cpu()
    report(time, start, end, n)
    report(cpu_time, cpu_before, cpu_after, n)


def main():
    workers, n = argument(1, 2), argument(2, 100000)
    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(empty) for _ in range(100)]:
            future.result()
        batch(pool, n, "submit until all are done", "CPU time of it, all threads")
        batch(pool, n, "second batch, until all are done", "CPU time of it")


main()
