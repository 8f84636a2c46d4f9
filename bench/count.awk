# For count: adds up callgrind's dumps. The first file holds "object address kind" lines, the instructions to be counted
# by kind; then come the dumps, one for each operation: caller.* of the calling thread, all.* of all threads, with whole
# addresses and names.
FNR == 1 {
    file++
    operation = object = fn = ""
    after_call = 0
    who = FILENAME ~ /\/caller\.[^\/]*$/ ? "caller" : "all"
}

file == 1 {
    kind[$1, "0x" $2] = $3
    next
}

/^desc: Trigger: Client Request: / {
    operation = substr($0, length("desc: Trigger: Client Request: ") + 1)
    # "name@n": done n times.
    n = operation ~ /@/ ? substr(operation, index(operation, "@") + 1) : times
    sub(/@.*/, "", operation)
    often[operation] = n
    if (!(operation in seen)) {
        seen[operation] = 1
        operations[++operation_count] = operation
    }
}

/^ob=/ {
    object = substr($0, 4)
}

/^fn=/ {
    fn = substr($0, 4)
}

/^calls=/ {
    after_call = 1
    next
}

# A cost: address and count. The one after a call is what the callee took, and was or will be counted there.
/^0x/ && operation != "" {
    if (after_call) {
        after_call = 0
        next
    }
    count[operation, who, "instructions"] += $2
    count[operation, who, kind[object, $1]] += $2
    if (functions)
        spent[operation, who, fn] += $2
    fns[fn] = 1
}

# What the others did is what all did without the caller.
function a_time(operation, who, what) {
    if (who == "caller")
        return count[operation, "caller", what] / often[operation]
    return (count[operation, "all", what] - count[operation, "caller", what]) / often[operation]
}

function print_functions(operation, who, f, share) {
    for (f in fns) {
        share = spent[operation, who, f] / often[operation]
        if (who == "all")
            share -= spent[operation, "caller", f] / often[operation]
        if (share >= 1)
            printf "    %-6s %9.1f  %s\n", (who == "all" ? "others" : who), share, f | "sort -k 1,1 -k 2,2nr"
    }
}

END {
    for (o = 1; o <= operation_count; o++) {
        operation = operations[o]
        printf "%-26s %9.1f %8.2f %8.2f   %9.1f %8.2f %8.2f\n", operation, a_time(operation, "caller", "instructions"),
            a_time(operation, "caller", "locked"), a_time(operation, "caller", "syscall"),
            a_time(operation, "others", "instructions"), a_time(operation, "others", "locked"),
            a_time(operation, "others", "syscall")
        if (!functions)
            continue
        fflush()
        print_functions(operation, "caller")
        print_functions(operation, "all")
        close("sort -k 1,1 -k 2,2nr")
    }
}
