# What table.awk and targets.awk share: reading the lines that bench/run writes, library,round,"figure",unit,value, and
# the middle of many values. The lines are split at the quotes.

# Sets line_library, line_round, line_figure, line_unit and line_value.
function read_line(parts, head, tail) {
    split($0, parts, "\"")
    split(parts[1], head, ",")
    split(parts[3], tail, ",")
    line_library = head[1]
    line_round = head[2]
    line_figure = parts[2]
    line_unit = tail[2]
    line_value = tail[3] + 0
}

# Sorts unsorted[1..n] into sorted[1..n].
function sort_values(n, i, k, value) {
    for (i = 1; i <= n; i++) {
        value = unsorted[i]
        for (k = i - 1; k > 0 && sorted[k] > value; k--)
            sorted[k + 1] = sorted[k]
        sorted[k + 1] = value
    }
}

# The value below which the given part of sorted[1..n] lies.
function quantile(n, part, at, low) {
    at = 1 + (n - 1) * part
    low = int(at)
    return low == n ? sorted[n] : sorted[low] + (at - low) * (sorted[low + 1] - sorted[low])
}
