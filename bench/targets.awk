# Says which targets are met by what bench/run has measured; after stats.awk. The first file is targets.txt, which
# says what the targets are and how its lines are read; then the CSV of each workload, named after it. With -v
# out=FILE the same as CSV, and with -v markdown=FILE as rows of a table in Markdown; with -v measured_only=1 without
# what was not measured.
#
# A figure of a library is the median over all its runs. Since all libraries run in turns, a target is looked at for
# each round by itself as well: "rounds" says in how many of them it was met, so 5/5 is certain and 3/5 is a tie.
FNR == 1 {
    file++
    workload = FILENAME
    sub(/.*\//, "", workload)
    sub(/\.csv$/, "", workload)
}

file == 1 {
    if (!/^#/ && NF)
        target[++targets] = $0
    next
}

FNR > 1 && workload != "targets" {
    read_line()
    key = workload "/" line_library "/" line_figure
    if (!(key in unit_of)) {
        unit_of[key] = line_unit
        keys[++key_count] = key
    }
    # Round 0 is all of them.
    values[key, 0, ++count[key, 0]] = line_value
    values[key, line_round, ++count[key, line_round]] = line_value
    if (line_round + 0 > last_round)
        last_round = line_round + 0
}

function median_of(key, round, n, i) {
    n = count[key, round]
    if (n == 0)
        return ""
    for (i = 1; i <= n; i++)
        unsorted[i] = values[key, round, i]
    sort_values(n)
    return quantile(n, 0.5)
}

# "a*b.c" as an expression that matches it from end to end; only the star is special.
function expression(glob) {
    gsub(/[][\\.^$+?(){}|]/, "\\\\&", glob)
    gsub(/\*/, ".*", glob)
    return "^" glob "$"
}

function is_rival(key, parts) {
    split(key, parts, "/")
    return parts[2] !~ /^weft/ && parts[2] !~ /^(wheel|machine|handover|timerfd|call|far|plain)$/
}

# The value of a term in a round; "" if it was not measured. Sets found to the key that it came from.
function lookup(term, round, factor, greatest, rivals, best, value, i) {
    factor = 1
    if (term ~ /^[0-9.]+ \* /) {
        factor = term + 0
        sub(/^[0-9.]+ \* /, "", term)
    }
    greatest = sub(/^max /, "", term)
    rivals = term ~ /\/best\//
    sub(/\/best\//, "/*/", term)
    term = expression(term)
    best = found = ""
    for (i = 1; i <= key_count; i++) {
        if (keys[i] !~ term || (rivals && !is_rival(keys[i])))
            continue
        value = median_of(keys[i], round)
        if (value == "" || (rivals && value == 0))
            continue
        if (best == "" || (greatest ? value > best : value < best)) {
            best = value
            found = keys[i]
        }
    }
    return best == "" ? "" : best * factor
}

# The measure that the target is about in a round, "" if it was not taken.
function measure(how, weft, other, round, w, o) {
    w = lookup(weft, round)
    weft_found = found
    weft_value = w
    o = other == "" ? "" : lookup(other, round)
    other_found = found
    other_value = o
    if (w == "" || (other != "" && o == ""))
        return ""
    if (how == "faster")
        return w > 0 ? o / w : ""
    if (how == "within")
        return o > 0 ? w / o : ""
    return w
}

# "reach" is a figure that is 0 where nothing was reached.
function met(how, value, limit) {
    return how == "faster" ? value >= limit : how == "reach" ? value > 0 && value <= limit : value <= limit
}

function number(value, unit) {
    if (value == "")
        return "-"
    return sprintf(value != 0 && value < 100 ? "%.2f" : "%.0f", value) (unit == "" ? "" : " " unit)
}

function named(value, key, with_library, parts, text) {
    if (value == "")
        return "-"
    split(key, parts, "/")
    text = number(value, unit_of[key])
    return with_library ? parts[2] " " text : text
}

function wanted(how, limit) {
    return limit == "" ? "-" : (how == "faster" ? ">= " : "<= ") limit
}

function judge(line, f, round, value, of_round, ratio, floor, verdict, weft_text, other_text, good, all, shown) {
    split(line, f, " *[|] *")
    good = all = 0
    for (round = 1; round <= last_round; round++) {
        of_round = measure(f[3], f[4], f[5], round)
        if (of_round != "" && f[6] != "") {
            all++
            good += met(f[3], of_round, f[6])
        }
    }
    value = measure(f[3], f[4], f[5], 0)
    weft_text = named(weft_value, weft_found, 1)
    other_text = f[5] == "" ? "" : named(other_value, other_found, 1)
    if (f[7] != "") {
        floor = lookup(f[7], 0)
        if (floor != "")
            other_text = other_text (other_text == "" ? "" : "; ") "floor " named(floor, found, 0)
    }
    if (value == "" && measured_only)
        return
    verdict = value == "" ? "not measured" : f[6] == "" ? "shown only" : met(f[3], value, f[6]) ? "met" : "missed"
    if (f[6] != "")
        tally[verdict]++
    ratio = f[3] == "faster" || f[3] == "within"
    shown = value == "" ? "-" : ratio ? sprintf("%.2f", value) : named(weft_value, weft_found, 0)
    printf "%-4s %-66s %-20s %-30s %8s %9s %6s  %s\n", f[1], f[2], weft_text, other_text, wanted(f[3], f[6]), shown,
        all ? good "/" all : "-", verdict
    if (markdown)
        printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", f[1], f[2], weft_text, other_text,
            wanted(f[3], f[6]), shown, all ? good "/" all : "-", verdict >markdown
    if (out)
        printf "%s,\"%s\",\"%s\",\"%s\",%s,%s,%s,%d,%d,%s\n", f[1], f[2], weft_text, other_text, f[3], f[6],
            value == "" ? "" : value + 0, good, all, verdict >out
}

END {
    if (markdown) {
        print "| | | weft | beside it | wanted | reached | rounds | |" >markdown
        print "|---|---|---|---|---|---|---|---|" >markdown
    }
    if (out)
        print "target,what,weft,other,how,limit,reached,rounds met,rounds,verdict" >out
    printf "%-4s %-66s %-20s %-30s %8s %9s %6s\n", "", "", "weft", "beside it", "wanted", "reached", "rounds"
    for (t = 1; t <= targets; t++)
        judge(target[t])
    printf "\n%d met, %d missed, %d not measured\n", tally["met"], tally["missed"], tally["not measured"]
}
