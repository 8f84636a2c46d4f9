/* The CPU count, on trees of files that look like machines: each test builds one below a directory of its own. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "topology.h"

#define MOUNT_V2 "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static char root[64];

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/weft-topology-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file of the tree, and the directories on the way to it. */
static void write_file(const char *name, const char *content)
{
    char path[512];
    assert_in_range(snprintf(path, sizeof path, "%s%s", root, name), 1, sizeof path - 1);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void write_process(const char *groups, const char *mounts)
{
    write_file("/proc/self/cgroup", groups);
    write_file("/proc/self/mountinfo", mounts);
}

static void write_v1(const char *directory, const char *quota, const char *period)
{
    char name[256];
    snprintf(name, sizeof name, "%s/cpu.cfs_quota_us", directory);
    write_file(name, quota);
    snprintf(name, sizeof name, "%s/cpu.cfs_period_us", directory);
    write_file(name, period);
}

static void expect_quota(unsigned quota)
{
    struct weft__topology topology;
    weft__topology_read(root, &topology);
    assert_int_equal(topology.quota, quota);
    assert_true(topology.mask >= 1);
}

static void expect_limited(bool limited)
{
    struct weft__topology topology;
    weft__topology_read(root, &topology);
    assert_int_equal(topology.limited, limited);
}

static void test_topology_empty_tree(void **state)
{
    (void)state;
    expect_quota(UINT_MAX);
    expect_limited(false);
}

static void test_topology_v2_max(void **state)
{
    (void)state;
    write_process("0::/user.slice/a\n", MOUNT_V2);
    write_file("/sys/fs/cgroup/user.slice/a/cpu.max", "max 100000\n");
    expect_quota(UINT_MAX);
    expect_limited(false);
}

static void test_topology_v2_rounds_up(void **state)
{
    (void)state;
    write_process("0::/user.slice/a\n", MOUNT_V2);
    write_file("/sys/fs/cgroup/user.slice/a/cpu.max", "50000 100000\n");
    expect_quota(1);
    expect_limited(true);
    write_file("/sys/fs/cgroup/user.slice/a/cpu.max", "350000 100000\n");
    expect_quota(4);
    write_file("/sys/fs/cgroup/user.slice/a/cpu.max", "300000 100000\n");
    expect_quota(3);
}

static void test_topology_v2_ancestor(void **state)
{
    (void)state;
    write_process("0::/a/b/c\n", MOUNT_V2);
    write_file("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
    write_file("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    write_file("/sys/fs/cgroup/a/cpu.max", "20000 10000\n");
    write_file("/sys/fs/cgroup/other/cpu.max", "10000 10000\n");
    expect_quota(2);
}

static void test_topology_v2_level_is_missing(void **state)
{
    (void)state;
    write_process("0::/a/b (deleted)\n", MOUNT_V2);
    write_file("/sys/fs/cgroup/a/cpu.max", "500000 100000\n");
    expect_quota(5);
}

static void test_topology_v2_namespace(void **state)
{
    (void)state;
    write_process("0::/\n", MOUNT_V2);
    write_file("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    expect_quota(2);
}

static void test_topology_mount_root_is_above_namespace(void **state)
{
    (void)state;
    write_process("0::/x\n", "30 20 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    write_file("/sys/fs/cgroup/cpu.max", "600000 100000\n");
    write_file("/sys/fs/cgroup/x/cpu.max", "100000 100000\n");
    expect_quota(6);
}

static void test_topology_group_is_outside_namespace(void **state)
{
    (void)state;
    write_process("0::/../other\n", MOUNT_V2);
    write_file("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    write_file("/sys/fs/cgroup/other/cpu.max", "100000 100000\n");
    expect_quota(UINT_MAX);
}

static void test_topology_v1_mount_root(void **state)
{
    (void)state;
    write_process("4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc/job\n1:name=systemd:/docker/abc\n",
                  "40 30 0:31 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
                  "41 30 0:32 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n");
    write_v1("/sys/fs/cgroup/cpu,cpuacct/job", "-1\n", "100000\n");
    write_v1("/sys/fs/cgroup/cpu,cpuacct", "250000\n", "100000\n");
    expect_quota(3);
}

static void test_topology_v1_none(void **state)
{
    (void)state;
    write_process("3:cpu,cpuacct:/\n", "41 30 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpuacct,cpu\n");
    write_v1("/sys/fs/cgroup/cpu", "-1\n", "100000\n");
    expect_quota(UINT_MAX);
    expect_limited(false);
}

static void test_topology_v1_other_controllers(void **state)
{
    (void)state;
    write_process("5:cpuset:/a\n6:cpuacct:/a\n", "41 30 0:32 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
                                                 "42 30 0:33 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n");
    write_v1("/sys/fs/cgroup/cpuset/a", "100000\n", "100000\n");
    write_v1("/sys/fs/cgroup/cpuacct/a", "100000\n", "100000\n");
    expect_quota(UINT_MAX);
}

static void test_topology_mount_of_strangers(void **state)
{
    (void)state;
    write_process("3:cpu:/docker/abcdef\n", "41 30 0:32 /docker/abc /cg rw - cgroup cgroup rw,cpu\n");
    write_v1("/cg", "100000\n", "100000\n");
    expect_quota(UINT_MAX);
}

static void test_topology_hybrid(void **state)
{
    (void)state;
    write_process("2:cpu:/one\n0::/two\n",
                  "41 30 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                  "42 30 0:33 / /sys/fs/cgroup/unified rw shared:1 master:2 - cgroup2 cgroup2 rw\n");
    write_v1("/sys/fs/cgroup/cpu/one", "700000\n", "100000\n");
    expect_quota(7);
    write_file("/sys/fs/cgroup/unified/two/cpu.max", "500000 100000\n");
    expect_quota(5);
}

static void test_topology_escaped_path(void **state)
{
    (void)state;
    write_process("0::/a b:c\n", "30 20 0:26 / /my\\040groups\\134x rw - cgroup2 none rw\n");
    write_file("/my groups\\x/a b:c/cpu.max", "800000 100000\n");
    expect_quota(8);
}

static void test_topology_malformed(void **state)
{
    (void)state;
    write_process("\n0\n0:\n:::\nx:cpu\n0::a\n0::/a",
                  "\n30\n30 20 0:26 / \n30 20 0:26 / /b rw - \n"
                  "30 20 0:26 / /c rw - cgroup2\n30 20 0:26 / /d rw - cgroup2 x rw");
    write_file("/d/a/cpu.max", "nonsense\n");
    expect_quota(UINT_MAX);
    write_file("/d/a/cpu.max", "100000 0\n");
    expect_quota(UINT_MAX);
    write_file("/d/a/cpu.max", "0 100000\n");
    expect_quota(UINT_MAX);
    write_file("/d/a/cpu.max", "100000\n");
    expect_quota(UINT_MAX);
    write_file("/d/a/cpu.max", "900000 100000");
    expect_quota(9);
}

/* Lines longer than any buffer are passed over, wherever the buffer's end falls in them and in their neighbours. */
static void test_topology_long_lines(void **state)
{
    (void)state;
    static char mounts[80000];
    write_file("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    for (size_t length = 16000; length < 60000; length += 1777) {
        memset(mounts, 'x', length);
        strcpy(mounts + length, "\n" MOUNT_V2);
        write_process("0::/a\n", mounts);
        expect_quota(2);
        strcpy(mounts, MOUNT_V2);
        mounts[strlen(mounts)] = 'x';
        write_process("0::/a\n", mounts);
        expect_quota(2);
    }
}

static void test_topology_many_lines(void **state)
{
    (void)state;
    static char mounts[80000];
    size_t end = 0;
    write_file("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    for (int i = 0; i < 700; i++)
        end +=
            (size_t)sprintf(mounts + end, "%d 20 0:26 / /mnt/volume/number/%d rw,relatime - ext4 /dev/sda rw\n", i, i);
    strcpy(mounts + end, MOUNT_V2);
    write_process("0::/a\n", mounts);
    expect_quota(2);
}

static void test_topology_quota_of_all_cpus_is_no_limit(void **state)
{
    (void)state;
    write_process("0::/\n", MOUNT_V2);
    write_file("/sys/fs/cgroup/cpu.max", "10000000000 100000\n");
    expect_quota(100000);
    expect_limited(false);
}

static void test_topology_mask(void **state)
{
    (void)state;
    struct weft__topology topology;
    cpu_set_t before;
    cpu_set_t one;
    if (sched_getaffinity(0, sizeof before, &before) != 0)
        skip();
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    }
    weft__topology_read(root, &topology);
    assert_int_equal(topology.mask, CPU_COUNT(&before));
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    weft__topology_read(root, &topology);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(topology.mask, 1);
}

static void test_topology_of_this_machine(void **state)
{
    (void)state;
    struct weft__topology topology;
    errno = E2BIG;
    weft__topology_read("", &topology);
    assert_int_equal(errno, E2BIG);
    assert_true(weft__cpus_allowed() >= 1);
    assert_true(weft__cpus_allowed() <= topology.mask);
    assert_int_equal(weft__cpu_quota(), topology.limited);
}

#define TREE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE(test_topology_empty_tree),
        TREE(test_topology_v2_max),
        TREE(test_topology_v2_rounds_up),
        TREE(test_topology_v2_ancestor),
        TREE(test_topology_v2_level_is_missing),
        TREE(test_topology_v2_namespace),
        TREE(test_topology_mount_root_is_above_namespace),
        TREE(test_topology_group_is_outside_namespace),
        TREE(test_topology_v1_mount_root),
        TREE(test_topology_v1_none),
        TREE(test_topology_v1_other_controllers),
        TREE(test_topology_mount_of_strangers),
        TREE(test_topology_hybrid),
        TREE(test_topology_escaped_path),
        TREE(test_topology_malformed),
        TREE(test_topology_long_lines),
        TREE(test_topology_many_lines),
        TREE(test_topology_quota_of_all_cpus_is_no_limit),
        TREE(test_topology_mask),
        TREE(test_topology_of_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
