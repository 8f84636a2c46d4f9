# shellcheck shell=bash
# shellcheck disable=SC2154 # programs, bench and quick are assigned there
# What bench/run runs: for each workload its title, its programs, their arguments. Sourced by it; `programs`, `bench`,
# `quick` and libraries() are bench/run's.
#
# A workload is run by the programs of its name. Three are put together from those of others: growth and squeezed run
# weft's at several sizes and under several constraints, floor measures the machine.

title() {
    case $1 in
    floor) echo "The machine: what no library can do without" ;;
    w1) echo "W1: fork-join, a task at every level of fib(37); fib(32) for the OpenMP runtimes" ;;
    fib) echo "W1 with futures: a weft_submit and a weft_await at every level of fib(30)" ;;
    w2) echo "W2: 1M empty jobs with handles, submitted by one outside thread, 2 workers" ;;
    w3) echo "W3: 1M empty jobs with handles, submitted by four outside threads, 2 workers" ;;
    w4) echo "W4: round trips of one job from an outside thread" ;;
    w5) echo "W5: how small independent jobs may be, 2 workers; 0: none is efficient enough" ;;
    w6uts) echo "W6: an unbalanced tree, UTS T1" ;;
    w6queens) echo "W6: 12 queens" ;;
    w6loop*) echo "W6: loops" ;;
    w7) echo "W7: a pool with nothing to do for 5 s after a burst of jobs" ;;
    w8) echo "W8: gather of 1M children" ;;
    w9a) echo "W9a: 1M pending timers" ;;
    w9b) echo "W9b: what a weft_wait_for adds to a job that ends in time" ;;
    w9c) echo "W9c: 1M timers that are due within a second" ;;
    w9d) echo "W9d: how late a lone timer is" ;;
    growth) echo "Growth: W2, W8 and W9a from 10 thousand to 10 million" ;;
    squeezed) echo "Squeezed: 8 workers, one CPU, half a CPU of quota" ;;
    *) echo "${1^^}" ;;
    esac
}

# All that can be run here, in the order of the targets; what is not named comes last.
all_workloads() {
    local order=(floor w1 fib w2 w3 w4 w5 w6uts w6queens w6loops w7 w8 w9a w9b w9c w9d) found name

    found=$(find "$programs" -maxdepth 1 \( -name 'bench_*_weft' -o -name 'bench_floor_*' \) -printf '%f\n' |
        sed 's/^bench_//; s/_[^_]*$//' | sort -u)
    for name in "${order[@]}"; do
        ! grep -qx "$name" <<<"$found" || echo "$name"
    done
    grep -vxF -f <(printf '%s\n' "${order[@]}") <<<"$found" || true
    printf '%s\n' growth squeezed
}

# Those that were asked for; all if none. A name that is none is the beginning of some.
select_workloads() {
    local all name

    all=$(all_workloads)
    if (($# == 0)); then
        echo "$all"
        return
    fi
    for name in "$@"; do
        case $name in
        t2) name=fib ;;
        t13) name=growth ;;
        t14) name=squeezed ;;
        esac
        grep -x "$name" <<<"$all" || grep "^$name" <<<"$all" || {
            echo "bench/run: there is no workload $name" >&2
            return
        }
    done | awk '!seen[$0]++'
}

libraries_of() {
    case $1 in
    growth) echo weft ;;
    squeezed) printf '%s\n' weft tbb ;;
    *) libraries "$1" ;;
    esac
}

# In how many rounds at most a library takes part: those that are slow to run, and of which no target speaks, in fewer.
rounds_at_most() {
    case $1-$2 in
    *-jdk | *-python | *-go) echo 3 ;;
    w5-weft* | w7-weft* | w9c-weft*) echo 1000 ;;
    w5-* | w7-* | w9c-*) echo 2 ;;
    *) echo 1000 ;;
    esac
}

growth_runs() {
    local n times sizes=(10000 100000 1000000 10000000)

    $quick && sizes=(1000 10000)
    for n in "${sizes[@]}"; do
        times=$((n < 1000000 ? 5 : 1)) # a run of a millisecond is easily disturbed
        echo "weft|$times|W2, $n: ||w2|2 $n"
        echo "weft|$times|W8, $n: ||w8|2 $n"
        echo "weft|$times|W9a, $n: ||w9a|$n"
    done
}

squeezed_runs() {
    local n=1000000 level=30 fork=34 quota label wrapper workers

    $quick && n=20000 level=20 fork=24
    "$bench/quota" true 2>/dev/null && quota="$bench/quota" || quota=
    while IFS='|' read -r label workers wrapper; do
        [[ $label != half* || -n $quota ]] || continue
        echo "weft tbb|1|$label: W2, |$wrapper|w2|$workers $n"
        echo "weft tbb|1|$label: W1 with futures, |$wrapper|fib|$level $workers"
        echo "weft tbb|1|$label: W1, |$wrapper|w1|$fork $workers"
        [[ $label == *' workers' ]] && echo "weft|1|$label: W5 of 2 us, |$wrapper|w5|$workers 2000"
    done <<END
2 workers|2|
8 workers|8|
one CPU|2|taskset -c 0
half a CPU|2|$quota
END
    return 0
}

# The runs of a workload, a line each: the libraries that take part ("*": all), how often in a round, what is put before
# the names of the figures, what the program is run under, the program, its arguments.
runs_of() {
    case $1 in
    growth) growth_runs ;;
    squeezed) squeezed_runs ;;
    w1) printf '*|1|||w1|%s\n' "37 1" "37 2" ;;
    fib) printf '*|1|||fib|%s\n' "30 1" "30 2" ;;
    w6*) printf '*|1|||%s|%s\n' "$1" 1 "$1" 2 ;;
    *) echo "*|1|||$1|" ;;
    esac
}

# Less work where a library is so slow that all of it says no more, and for --quick.
arguments_for() {
    local program=$1 library=$2 arguments=$3

    case $program-$library in
    w1-gomp | w1-omp) arguments=${arguments/#37/32} ;;
    w2-python) arguments=${arguments:-2 50000} ;;
    esac
    if $quick && [[ -z $arguments || $program == w1 || $program == fib || $program-$library == w2-python ]]; then
        case $program in
        w1 | fib) arguments=${arguments/#3[0-9]/20} ;;
        w2 | w3 | w8) arguments="2 10000" ;;
        w4) arguments="2 500 20" ;;
        w5) arguments="2 2000" ;;
        w7) arguments="2 1 1000" ;;
        w9a) arguments=10000 ;;
        w9b) arguments="2 2000" ;;
        w9c) arguments=10000 ;;
        w9d) arguments=50 ;;
        esac
    fi
    echo "$arguments"
}
