# Comments to the language of manual pages: words, paragraphs, lists, tables, programs. See pages.awk, which calls
# render() and prose() and knows the names of functions and types; what pages.awk learns of a page while its text is
# rendered is left in `see` (pages referred to), `codes` (the list of what a call returns) and has_table.

# ---- words ----

function header_page(header,    name) {
    name = header
    sub(/\.h$/, "", name)
    if (name == "base" || name == "weft")
        return "weft"
    if (name == "cancel")
        return "weft-cancellation"
    gsub(/_/, "-", name)
    return "weft-" name
}

function seen(name, section) {
    if (name != current)
        see[name "(" section ")"] = 1
}

# Fonts and references for the words of a text that mean something to a compiler.
function mark(text,    done, word, before, after, header) {
    gsub(/\\/, "\\e", text)
    done = ""
    while (match(text, /weft\/[a-z_]+\.h|[a-z_]+\.h|[A-Za-z_][A-Za-z0-9_]*(\.[a-z_]+)?|`[^`]*`/)) {
        before = substr(text, 1, RSTART - 1)
        word = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        after = substr(text, 1, 1)
        header = word
        sub(/^weft\//, "", header)
        if (word ~ /^`/) {
            gsub(/-/, "\\-", word)
            word = "\\fB" substr(word, 2, length(word) - 2) "\\fP"
        } else if (header in essay && (word ~ /^weft\// || word != "weft.h")) {
            seen(header_page(header), 7)
            word = "\\fB" escape_hyphens(header_page(header)) "\\fP(7)"
        } else if (word in page_of) {
            seen(page_of[word], 3)
            word = "\\fB" word "\\fP" (after == "(" ? "" : "(3)")
        } else if (word ~ /^weft_[a-z_]+(\.[a-z_]+)?$/)
            word = "\\fI" word "\\fP"
        else if (word ~ /^WEFT_[A-Z_0-9]+$/)
            word = "\\fB" word "\\fP"
        else if (word ~ /^E[A-Z][A-Z]+$/) {
            if (before ~ /-$/)
                before = substr(before, 1, length(before) - 1) "\\fB\\-" word "\\fP"
            else
                before = before "\\fB" word "\\fP"
            word = ""
        }
        done = done before word
    }
    text = done text
    gsub(/ -1/, " \\-1", text)
    return text
}

function escape_hyphens(text) {
    gsub(/-/, "\\-", text)
    return text
}

# A line of a page must not begin like a request.
function safe(line) {
    return line ~ /^[.']/ ? "\\&" line : line
}

# Prose, a sentence a line, long ones broken.
function prose(text,    words, n, i, line, result) {
    n = split(mark(text), words, /[ \n]+/)
    line = result = ""
    for (i = 1; i <= n; i++) {
        if (words[i] == "")
            continue
        if (line != "" && (length(line) + length(words[i]) > 78)) {
            result = result safe(line) "\n"
            line = ""
        }
        line = line (line == "" ? "" : " ") words[i]
        if (words[i] ~ /[.?]\)?$/ && words[i] !~ /^([0-9]+|\(?[A-Z])\.$/ && i < n) {
            result = result safe(line) "\n"
            line = ""
        }
    }
    return result (line == "" ? "" : safe(line) "\n")
}

# Code, as it stands.
function listing(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/\n\./, "\n\\\\\\&.", text)
    gsub(/\n'/, "\n\\\\\\&'", text)
    return ".EX\n" text (text ~ /\n$/ ? "" : "\n") ".EE\n.nh\n"
}

# ---- blocks ----

function indent_of(line) {
    match(line, /^ */)
    return RLENGTH
}

# Cells of a line of a table: text_of[k] begins at column start_of[k]. Returns how many.
function cells(line,    n, at) {
    n = 0
    at = 1
    while (match(substr(line, at), /[^ ]+( [^ ]+)*/)) {
        n++
        start_of[n] = at + RSTART - 1
        text_of[n] = substr(line, at + RSTART - 1, RLENGTH)
        at += RSTART - 1 + RLENGTH
    }
    return n
}

function has_gap(line) {
    return line ~ /[^ ]   *[^ ]/ && line !~ /[.?:] [ ][A-Z]/
}

# Renders a comment. With topics: paragraphs that begin with a short sentence open sections. Where split_codes is set,
# the list of what a call returns goes to `codes` and not to the result.
function render(text, topics, split_codes,    lines, n, i, j, k, line, ind, behind_blank, result, block, paragraph,
                para_of_codes, lead, head) {
    n = split(text, lines, "\n")
    result = ""
    codes = ""
    para_of_codes = 0
    i = 1
    while (i <= n) {
        line = lines[i]
        if (line ~ /^ *$/) {
            para_of_codes = 0
            i++
            continue
        }
        ind = indent_of(line)
        behind_blank = i == 1 || lines[i - 1] ~ /^ *$/
        if (ind >= 4 && behind_blank && !has_gap(line)) { # a program
            block = ""
            for (; i <= n && (lines[i] ~ /^    / || (lines[i] ~ /^ *$/ && lines[i + 1] ~ /^    /)); i++)
                block = block substr(lines[i], 5) "\n"
            result = result ".PP\n.RS 4\n" listing(block) ".RE\n"
            continue
        }
        if (ind >= 2 && cells(line) >= 3 && behind_blank) { # a table
            for (j = i; j <= n && lines[j] !~ /^ *$/; j++)
                ;
            result = result table(lines, i, j - 1)
            has_table = 1
            i = j
            continue
        }
        if (opens_list(lines, i, n)) {
            for (j = i; j <= n && lines[j] !~ /^ *$/ && indent_of(lines[j]) >= ind; j++)
                ;
            block = list(lines, i, j - 1, ind)
            if (split_codes && line ~ /^ +(-?E[A-Z]|0 |positive)/) {
                if (match(result, /(^|\n)\.PP\n([^.\n][^\n]*\n)*[^\n]*:\n$/)) { # a lead that stands alone
                    lead = last_sentence(result)
                    result = substr(result, 1, length(result) - length(lead))
                    if (result ~ /(^|\n)\.PP\n$/)
                        result = substr(result, 1, length(result) - 4)
                    codes = codes ".PP\n" lead
                }
                if (codes == "" && line ~ /^ +E/)
                    codes = ".PP\nNULL, and errno is\n"
                codes = codes block
                para_of_codes = 1
            } else
                result = result block
            i = j
            continue
        }
        paragraph = ""
        for (j = i; j <= n && lines[j] !~ /^ *$/; j++) {
            if (j > i && (opens_list(lines, j, n) || lines[j] ~ /^[0-9]\. [A-Z]/))
                break
            paragraph = paragraph lines[j] "\n"
        }
        i = j
        head = topics ? topic_of(paragraph) : ""
        if (head != "") {
            result = result ".SS " head "\n"
            paragraph = substr(paragraph, length(head) + 2)
            sub(/^[ \n]+/, "", paragraph)
            if (paragraph == "")
                continue
            paragraph = capital(paragraph)
            result = result prose(paragraph)
        } else if (para_of_codes)
            codes = codes ".PP\n" prose(paragraph)
        else if (split_codes && (k = start_of_codes(paragraph)) > 0) {
            if (k > 1)
                result = result ".PP\n" prose(substr(paragraph, 1, k - 1))
            codes = codes ".PP\n" prose(substr(paragraph, k))
            para_of_codes = 1
        } else
            result = result ".PP\n" prose(paragraph)
    }
    return result
}

# A line that is set in and alone, whose continuation is set in much further: the term of a list.
function lead_of_list(lines, i, n) {
    return i < n && lines[i + 1] !~ /^ *$/ && indent_of(lines[i + 1]) >= indent_of(lines[i]) + 8
}

# A line that is set in and begins a list: a term and its text, a number, or a term alone.
function opens_list(lines, i, n) {
    return indent_of(lines[i]) >= 2 && (has_gap(lines[i]) || lines[i] ~ /^ +[0-9]+\. / || lead_of_list(lines, i, n))
}

function last_sentence(text,    at, rest, line) {
    # Prose has a sentence a line, broken lines besides: go back to the line after one that ends a sentence.
    rest = substr(text, 1, length(text) - 1)
    at = length(rest)
    while (match(rest, /\n[^\n]*$/)) {
        at = RSTART
        line = substr(rest, 1, at - 1)
        if (line ~ /[.?]\)?$/ || line ~ /(^|\n)\.PP$/)
            return substr(text, at + 1)
        rest = line
    }
    return text
}

# Where in a paragraph the sentence begins that says what the call returns; 0: nowhere.
function start_of_codes(paragraph,    at, rest, offset) {
    if (paragraph ~ /^(0[;,]|NULL and errno)/)
        return 1
    offset = 0
    rest = paragraph
    while (match(rest, /[.)][ \n](0[;,] |0, or|NULL and errno|Negative: )/)) {
        return offset + RSTART + 2
    }
    return 0
}

# With a capital letter, if it begins with a word and not with a name.
function capital(text) {
    return text ~ /^[a-z]+[ ,.;:\n]/ ? toupper(substr(text, 1, 1)) substr(text, 2) : text
}

# "Threads. Which call ..." opens the section Threads.
function topic_of(paragraph,    head, n, words) {
    if (!match(paragraph, /^"?[A-Za-z][a-z]*"?( "?[a-z]+"?)?( "?[a-z]+"?)?\.[ \n]/))
        return ""
    head = substr(paragraph, 1, RLENGTH - 2)
    return head
}

function list(lines, from, to, ind,    i, result, term, text, line, column) {
    result = ""
    column = 0
    for (i = from; i <= to; i++) {
        line = substr(lines[i], ind + 1)
        while (i < to && indent_of(lines[i + 1]) > ind && !(lines[i + 1] ~ /^ +[0-9]+\. /))
            line = line "\n" lines[++i]
        if (match(line, /^ *[0-9]+\. +/)) {
            term = substr(line, 1, RLENGTH)
            gsub(/ /, "", term)
            result = result ".IP " term " 4\n" prose(substr(line, RLENGTH + 1))
        } else if (match(line, /^[^ \n]+( [^ \n]+)*(   *|\n)/) && substr(line, RLENGTH + 1) != "") {
            term = substr(line, 1, RLENGTH)
            text = substr(line, RLENGTH + 1)
            if (term !~ /\n/)
                column = RLENGTH
            sub(/[ \n]+$/, "", term)
            result = result ".TP\n" safe(mark(term)) "\n" prose(text)
        } else if (column && line !~ /^(and|for|or) / && substr(line, column, 1) == " " && length(line) > column) # a term as long as the column
            result = result ".TP\n" safe(mark(substr(line, 1, column - 1))) "\n" prose(substr(line, column + 1))
        else
            result = result ".PP\n" prose(line)
    }
    return result
}

# Columns are where the first line has them. A line without a first cell goes on with the row above; where there are
# three columns, and it has the second, it is a row of its own. A cell that has no right neighbour in the first line of
# its row reaches over that column.
# On a page of 78 columns each column has room for its longest word, and the last one for what is left.
function table(lines, from, to,    i, k, c, columns, n, at, row, used, result, format, formats, rows, words, width,
               left, whole) {
    columns = cells(lines[from])
    for (k = 1; k <= columns; k++)
        at[k] = start_of[k]
    row = 0
    for (i = from; i <= to; i++) {
        n = cells(lines[i])
        c = column_of(start_of[1], at, columns)
        if (start_of[1] == at[1] || (columns == 3 && c == 2)) {
            row++
            for (k = 1; k <= columns; k++)
                used[k] = cell[row, k] = ""
            format = ""
            for (k = 1; k <= n; k++)
                used[column_of(start_of[k], at, columns)] = 1
            whole = row == 1 || columns == 3 # nothing reaches over
            for (k = 1; k <= columns; k++)
                format = format (k > 1 ? " " : "") (whole || k == 1 || used[k] ? "l" (row == 1 ? "b" : "") : "s")
            formats[row] = format
        }
        for (k = 1; k <= n; k++) {
            c = column_of(start_of[k], at, columns)
            cell[row, c] = cell[row, c] (cell[row, c] == "" ? "" : " ") text_of[k]
        }
    }
    rows = row
    left = 70 - 2 * (columns - 1)
    for (k = 1; k <= columns; k++) {
        width[k] = 0
        for (row = 1; row <= rows; row++)
            if (formats[row] !~ /s/) {
                n = split(cell[row, k], words, " ")
                for (i = 1; i <= n; i++)
                    if (length(words[i]) + (words[i] ~ /^weft_/ ? 3 : 0) > width[k])
                        width[k] = length(words[i]) + (words[i] ~ /^weft_/ ? 3 : 0)
            }
        left -= width[k]
    }
    if (left > 0)
        width[columns] += left
    result = ".PP\n.TS\n"
    for (row = 1; row <= rows; row++) {
        n = split(formats[row], words, " ")
        for (k = 1; k <= n; k++)
            result = result words[k] (words[k] == "s" ? "" : "w(" width[k] "n)") \
                (k < n ? "2 " : row == rows ? ".\n" : "\n")
    }
    for (row = 1; row <= rows; row++) {
        split(formats[row], words, " ")
        for (k = 1; k <= columns; k++)
            if (words[k] != "s") {
                if (k > 1)
                    result = result "\t"
                result = result (cell[row, k] == "" ? "" : "T{\n" cell_text(cell[row, k]) "T}")
            }
        result = result "\n"
    }
    return result ".TE\n"
}

function cell_text(text) {
    return ".ad l\n" prose(text)
}

function column_of(start, at, columns,    k) {
    for (k = columns; k > 1; k--)
        if (start >= at[k])
            return k
    return 1
}
