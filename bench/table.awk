# Makes a table of what bench/run has written about one workload: library,round,"figure",unit,value with a heading. A row
# for each figure of each library, in the order in which they first came: median, least and greatest value, ratio of the
# median to weft's. "~": the middle half of the values spreads by more than 30 % of the median.
BEGIN {
    FS = "\""
}

NR > 1 {
    split($1, head, ",")
    split($3, tail, ",")
    figure = $2
    library = head[1]
    if (!(figure in unit)) {
        unit[figure] = tail[2]
        figures[++figure_count] = figure
    }
    if (!(library in known)) {
        known[library] = 1
        libraries[++library_count] = library
    }
    values[figure, library, ++count[figure, library]] = tail[3] + 0
}

# Sorts the values of a figure into sorted[1..n]; returns n.
function sort_values(figure, library, n, i, k, value) {
    n = count[figure, library]
    for (i = 1; i <= n; i++) {
        value = values[figure, library, i]
        for (k = i - 1; k > 0 && sorted[k] > value; k--)
            sorted[k + 1] = sorted[k]
        sorted[k + 1] = value
    }
    return n
}

# The value below which the given part of sorted[1..n] lies.
function quantile(n, part, at, low) {
    at = 1 + (n - 1) * part
    low = int(at)
    return low == n ? sorted[n] : sorted[low] + (at - low) * (sorted[low + 1] - sorted[low])
}

function print_row(figure, library, n, median, spread, ratio) {
    n = sort_values(figure, library)
    if (n == 0)
        return
    median = quantile(n, 0.5)
    spread = quantile(n, 0.75) - quantile(n, 0.25)
    if (library == "weft")
        of_weft[figure] = median
    # Below ten of a unit a small absolute change would count as noise.
    noisy = spread > 0.3 * median && median >= 10 ? "~" : " "
    ratio = of_weft[figure] > 0 ? sprintf("%.2f", median / of_weft[figure]) : "-"
    printf "%-42s %-14s %10.1f%s %-5s %10.1f to %-10.1f %7s\n", figure, library, median, noisy, unit[figure], sorted[1], \
        sorted[n], ratio
}

END {
    printf "%-42s %-14s %10s  %-5s %10s    %-10s %7s\n", "", "", "median", "", "least", "greatest", "/ weft"
    for (f = 1; f <= figure_count; f++)
        for (l = 1; l <= library_count; l++)
            print_row(figures[f], libraries[l])
}
