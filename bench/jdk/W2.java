import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;

/** W2 on a ForkJoinPool: empty jobs from one outside thread, joined newest first so that it sleeps about once. */
final class W2 {
    private static ForkJoinTask<?>[] tasks;

    private static void batch(ForkJoinPool pool, int n) {
        Runnable empty = () -> {
        };
        for (int i = 0; i < n; i++)
            tasks[i] = pool.submit(empty);
        for (int i = n; i-- > 0;)
            tasks[i].join();
    }

    private static void measure(ForkJoinPool pool, int n, String time, String cpu) {
        System.gc();
        long cpuBefore = Bench.cpu(), start = System.nanoTime();
        batch(pool, n);
        long end = System.nanoTime(), cpuAfter = Bench.cpu();
        Bench.report(time, start, end, n);
        Bench.report(cpu, cpuBefore, cpuAfter, n);
    }

    public static void main(String[] arguments) {
        var pool = new ForkJoinPool(Bench.argument(arguments, 0, 2));
        int n = Bench.argument(arguments, 1, 1000000);
        tasks = new ForkJoinTask<?>[n];
        for (int i = 0; i < Bench.WARM_UPS; i++)
            batch(pool, n);
        measure(pool, n, "submit until all are done", "CPU time of it, all threads");
        measure(pool, n, "second batch, until all are done", "CPU time of it");
        pool.shutdown();
    }
}
