import java.lang.management.ManagementFactory;
import java.util.Locale;

/** What the Java programs measure with; they print the same lines as the C programs, see common/measure.h. */
final class Bench {
    /**
     * How often a workload is done before it is timed: so often that its code is compiled and the heap touched. C
     * programs need none of that, so it is to Java's advantage.
     */
    static final int WARM_UPS = 5;

    private Bench() {
    }

    static long cpu() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime();
    }

    static int argument(String[] arguments, int i, int otherwise) {
        return i < arguments.length ? Integer.parseInt(arguments[i]) : otherwise;
    }

    static void report(String figure, String unit, double value) {
        System.out.printf(Locale.ROOT, "%s\t%s\t%.2f%n", figure, unit, value);
    }

    static void report(String figure, long from, long to, int n) {
        report(figure, "ns", (double) (to - from) / n);
    }
}
