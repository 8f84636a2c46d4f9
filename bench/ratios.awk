# For plot: how many times what weft takes each library takes; after stats.awk. Reads workload|figure|row from the first
# file, then the CSVs. Prints library, number of the row, ratio, with tabs between; writes the names of the rows that
# have a point to the file `names`.
FNR == 1 {
    file++
    workload = FILENAME
    sub(/.*\//, "", workload)
    sub(/\.csv$/, "", workload)
}

file == 1 {
    split($0, part, "|")
    rows++
    row_workload[rows] = part[1]
    glob = part[2]
    gsub(/[][\\.^$+?(){}|]/, "\\\\&", glob)
    gsub(/\*/, ".*", glob)
    row_figure[rows] = "^" glob "$"
    row_name[rows] = part[3]
    next
}

FNR > 1 {
    read_line()
    for (r = 1; r <= rows; r++) {
        # Of several figures that match, the first one.
        if (row_workload[r] != workload || line_figure !~ row_figure[r])
            continue
        if ((r, "figure") in chosen && chosen[r, "figure"] != line_figure)
            continue
        chosen[r, "figure"] = line_figure
        if (!((r, line_library) in count))
            library_of[r, ++library_count[r]] = line_library
        values[r, line_library, ++count[r, line_library]] = line_value
    }
}

function median(r, library, n, i) {
    n = count[r, library]
    for (i = 1; i <= n; i++)
        unsorted[i] = values[r, library, i]
    sort_values(n)
    return n ? quantile(n, 0.5) : 0
}

END {
    for (r = 1; r <= rows; r++) {
        weft = median(r, "weft")
        if (weft <= 0 || library_count[r] < 2)
            continue
        shown++
        print row_name[r] >names
        for (l = 1; l <= library_count[r]; l++) {
            library = library_of[r, l]
            if (library != "weft" && median(r, library) > 0)
                printf "%s\t%d\t%.4f\n", library, shown, median(r, library) / weft
        }
    }
}
