# Makes a table of what bench/run has written about one workload; after stats.awk. A row for each figure of each
# library, in the order in which they first came: median, least and greatest value, ratio of the median to weft's. "~":
# the middle half of the values spreads by more than 30 % of the median.
FNR > 1 {
    read_line()
    if (!(line_figure in unit)) {
        unit[line_figure] = line_unit
        figures[++figure_count] = line_figure
        width = length(line_figure) > width ? length(line_figure) : width
    }
    if (!(line_library in known)) {
        known[line_library] = 1
        libraries[++library_count] = line_library
    }
    values[line_figure, line_library, ++count[line_figure, line_library]] = line_value
}

function number(value) {
    return sprintf(value != 0 && value < 100 ? "%.2f" : "%.0f", value)
}

function print_row(figure, library, n, i, median, spread, ratio, noisy) {
    n = count[figure, library]
    if (n == 0)
        return
    for (i = 1; i <= n; i++)
        unsorted[i] = values[figure, library, i]
    sort_values(n)
    median = quantile(n, 0.5)
    spread = quantile(n, 0.75) - quantile(n, 0.25)
    if (library == "weft")
        of_weft[figure] = median
    # Below ten of a unit a small absolute change would count as noise.
    noisy = spread > 0.3 * median && median >= 10 ? "~" : " "
    ratio = of_weft[figure] > 0 ? sprintf("%.2f", median / of_weft[figure]) : "-"
    printf "%-" width "s  %-13s %10s%s %-5s %10s to %-10s %7s\n", figure, library, number(median), noisy, unit[figure],
        number(sorted[1]), number(sorted[n]), ratio
}

END {
    printf "%-" width "s  %-13s %10s  %-5s %10s    %-10s %7s\n", "", "", "median", "", "least", "greatest", "/ weft"
    for (f = 1; f <= figure_count; f++)
        for (l = 1; l <= library_count; l++)
            print_row(figures[f], libraries[l])
}
