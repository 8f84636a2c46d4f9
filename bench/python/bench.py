"""What the Python programs measure with; they print the same lines as the C programs, see common/measure.h."""
import sys
import time

now = time.perf_counter_ns
cpu = time.process_time_ns


def argument(i, otherwise):
    return int(sys.argv[i]) if i < len(sys.argv) else otherwise


def report(figure, begin, end, n):
    print(f"{figure}\tns\t{(end - begin) / n:.2f}")
