import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** W9a on a ScheduledThreadPoolExecutor, which takes a cancelled timer out of its heap at once. */
final class W9A {
    private static final long HOUR = 3600L * 1000000000L;
    private static ScheduledFuture<?>[] timers;
    private static long state;

    private static long random() {
        state ^= state << 13;
        state ^= state >>> 7;
        state ^= state << 17;
        return state;
    }

    private static long arm(ScheduledThreadPoolExecutor executor) {
        Runnable nothing = () -> {
        };
        state = 88172645463325252L;
        long start = System.nanoTime();
        for (int i = 0; i < timers.length; i++)
            timers[i] = executor.schedule(nothing, HOUR + Long.remainderUnsigned(random(), HOUR), TimeUnit.NANOSECONDS);
        return System.nanoTime() - start;
    }

    private static long cancel() {
        long start = System.nanoTime();
        for (ScheduledFuture<?> timer : timers)
            timer.cancel(false);
        return System.nanoTime() - start;
    }

    public static void main(String[] arguments) {
        int n = Bench.argument(arguments, 0, 1000000);
        var executor = new ScheduledThreadPoolExecutor(1);
        executor.setRemoveOnCancelPolicy(true);
        timers = new ScheduledFuture<?>[n];
        for (int i = 0; i < 2; i++) {
            arm(executor);
            cancel();
        }
        System.gc();
        Bench.report("arm, in fresh memory", 0, arm(executor), n);
        Bench.report("cancel", 0, cancel(), n);
        System.gc();
        Bench.report("arm again", 0, arm(executor), n);
        executor.shutdownNow();
    }
}
