import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ForkJoinPool;

/** W8 with CompletableFuture.allOf: of children that are done, and of children that are submitted to a ForkJoinPool. */
final class W8 {
    private static CompletableFuture<?>[] children;

    private static void submitAll(ForkJoinPool pool) {
        for (int i = 0; i < children.length; i++)
            children[i] = CompletableFuture.runAsync(() -> {
            }, pool);
    }

    private static long gather() {
        long start = System.nanoTime();
        CompletableFuture.allOf(children).join();
        return System.nanoTime() - start;
    }

    public static void main(String[] arguments) {
        var pool = new ForkJoinPool(Bench.argument(arguments, 0, 2));
        int n = Bench.argument(arguments, 1, 1000000);
        children = new CompletableFuture<?>[n];
        for (int i = 0; i < Bench.WARM_UPS; i++) {
            submitAll(pool);
            gather();
            gather();
        }
        Bench.report("gather, a child that is done", 0, gather(), n);
        System.gc();
        long start = System.nanoTime();
        submitAll(pool);
        gather();
        Bench.report("submit and gather, a child", start, System.nanoTime(), n);
        pool.shutdown();
    }
}
