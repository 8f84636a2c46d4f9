# Manual pages from the headers: what a page says stands in one place, the comment above the declaration.
#
#   awk -v out=DIRECTORY -v version=0.1.0 -v date=2026-01-31 -f pages.awk -f text.awk HEADER... TEMPLATE.7...
#
# A page of section 3 for each function and macro with arguments that a header declares (one for several that share a
# comment, or whose comment begins "The same" or "With options"), a page of section 7 for each header's opening essay,
# and one for each template. A declaration without a comment is an error: status 1, with a line for each.
#
# A template is a page as it stands, but for lines that begin with @:
#   @head            the title line
#   @essay X.h       the opening essay of that header
#   @topic X.h NAME  of it, from the paragraph that begins "NAME." up to the next that begins like that
#   @functions X.h   its functions, with a line on each
#   @others          those of all headers that are not named so
#
# How comments are read. A blank line ends a paragraph. What is set in is, by its first line: a program (by four
# columns, behind a blank line), a list (two columns of text, or numbers), a table (three and more; the first line is
# its head). A paragraph of an essay that begins with a sentence of at most three words opens a section of that name.
#
# Written for any awk: no intervals in expressions, no functions of gawk.

# ---- reading ----

FNR == 1 {
    template = FILENAME ~ /\.7$/
    file = FILENAME
    sub(/.*\//, "", file)
    in_comment = in_code = essay_seen = body = 0
    free_comment = pending = ""
    if (template)
        templates[++n_templates] = FILENAME
    else
        headers[++n_headers] = file
}
template { template_text[FILENAME] = template_text[FILENAME] $0 "\n"; next }

!in_comment && !body && /^\/\*/ {
    end_group()
    in_comment = 1
    comment = ""
    sub(/^\/\* ?/, "")
}
in_comment {
    line = $0
    over = sub(/ ?\*\/[ \t]*$/, "", line)
    if (comment != "" || line ~ /^ \*/)
        sub(/^ \* ?/, "", line)
    comment = comment line "\n"
    if (over) {
        in_comment = 0
        if (!essay_seen) {
            essay_seen = 1
            essay[file] = comment
        } else
            pending = comment
    }
    next
}
/^[ \t]*$/ { if (!body) end_group(); next }
body { if (/^}/) body = 0; next }
/^{/ && code ~ /static inline/ { body = 1; next }
/^#(if|endif|else|elif|include|undef)/ || /^(extern "C|})/ && code == "" { if (code == "") { pending = ""; next } }
{ code = code $0 "\n" }

# What stands between two blank lines: a comment, and the declarations under it.
function end_group(    text, names, protos, macro) {
    if (code == "") {
        if (pending != "") { # stands alone: it speaks of what follows
            free_comment = pending
            essay[file] = essay[file] "\n" pending
        }
        pending = ""
        return
    }
    if (code ~ /(^|\n)(WEFT_API|static inline)/ || (code ~ /^#define [A-Z_]+\(/ && code !~ /^#define WEFT__/))
        add_page(pending, code)
    else if (code ~ /^(typedef|enum)/)
        add_type(pending, code)
    code = pending = ""
}

function add_type(text, code,    rest, name, statement) {
    if (code ~ /^enum/) {
        flags_of[file] = flags_of[file] " flags:" file ":" ++n_flags
        type_comment["flags:" file ":" n_flags] = text
        type_code["flags:" file ":" n_flags] = code
        last_flags = "flags:" file ":" n_flags
        return
    }
    if (code ~ /^typedef struct [a-z_]+ [a-z_]+;/)
        return
    rest = code
    if (code ~ /{/) { # one with members
        name = code
        sub(/;[ \t\n]*$/, "", name)
        sub(/.*[} ]/, "", name)
        type_comment[name] = text
        type_code[name] = code
        return
    }
    while (match(rest, /[^;]*;[^;\n]*\n?/)) { # functions, one statement each
        statement = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        if (match(statement, /weft_[a-z_]+\(/)) {
            name = substr(statement, RSTART, RLENGTH - 1)
            type_comment[name] = text
            type_code[name] = statement
            text = ""
        }
    }
}

function add_page(text, code,    rest, statement, name, page, first) {
    if (text == "")
        fault(file ": no comment above " code)
    if (code ~ /^#define/) {
        n_found = split(code, found_lines, "\n")
        for (first = 1; first < n_found; first++)
            if (match(found_lines[first], /^#define [A-Z_]+\([a-z, ]*\)/)) {
                statement = substr(found_lines[first], 9, RLENGTH - 8)
                name = statement
                sub(/\(.*/, "", name)
                page = join_page(page, name, text, "#define " statement)
                text = ""
            }
        return
    }
    rest = code
    gsub(/WEFT_API /, "", rest)
    if (rest ~ /static inline/)
        rest = rest ";"
    while (match(rest, /[^;]*;/)) {
        statement = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        gsub(/[ \t\n]+/, " ", statement)
        sub(/^ /, "", statement)
        sub(/ ;$/, ";", statement)
        if (!match(statement, /weft_[a-z_0-9]+\(/))
            continue
        name = substr(statement, RSTART, RLENGTH - 1)
        if (text ~ /^(The same|With options)/ && page == "")
            page = last_page
        page = join_page(page, name, text, statement)
        text = ""
    }
}

# Adds a function to the page of that name, or to a new one.
function join_page(page, name, text, statement) {
    if (page == "") {
        page = last_page = name
        pages[++n_pages] = page
        page_file[page] = file
        page_note[page] = free_comment
        page_flags[page] = last_flags
        briefs[page] = brief_of(text)
        pages_of[file] = pages_of[file] " " page
    }
    page_of[name] = page
    page_names[page] = page_names[page] (page_names[page] == "" ? "" : " ") name
    page_protos[page] = page_protos[page] statement "\n"
    if (text != "")
        page_text[page] = page_text[page] (page_text[page] == "" ? "" : "\n") text
    return page
}

function fault(text) {
    sub(/\n.*/, "", text)
    print text >"/dev/stderr"
    faults = 1
}

# The first clause of a comment, as a line in a list of pages.
function brief_of(text,    brief) {
    brief = text
    gsub(/[ \t\n]+/, " ", brief)
    gsub(/;?`/, "", brief)
    if (match(brief, /[.:;?]( |$)/) && RSTART < 20 && substr(brief, RSTART, 1) == ":")
        brief = substr(brief, 1, RSTART - 1) "\001" substr(brief, RSTART + 1) # too little yet
    if (match(brief, /[.:;?]( |$)/))
        brief = substr(brief, 1, RSTART - (substr(brief, RSTART, 1) == "?" ? 0 : 1))
    sub(/\001/, ":", brief)
    if (brief ~ /\([^)]*$/)
        sub(/ \([^)]*$/, "", brief)
    if (length(brief) > 90 && match(brief, /, [^,]*$/))
        brief = substr(brief, 1, RSTART - 1)
    if (brief ~ /^[A-Z][a-z]* /)
        brief = tolower(substr(brief, 1, 1)) substr(brief, 2)
    gsub(/\\/, "\\e", brief)
    return brief
}

# ---- types ----

function fold(text, width,    words, n, i, line, result) {
    result = ""
    match(text, /^ */)
    line = substr(text, 1, RLENGTH)
    n = split(text, words, " ")
    for (i = 1; i <= n; i++) {
        if (line !~ /^ *$/ && length(line) + length(words[i]) >= width) {
            result = result line "\n"
            line = text ~ /^ / ? "            " : "        "
        }
        line = line (line == "" || line ~ /^ +$/ ? "" : " ") words[i]
    }
    return result line "\n"
}

function without_comments(code) {
    while (match(code, /[ \t]*\/\*([^*]|\*[^\/])*\*\//))
        code = substr(code, 1, RSTART - 1) substr(code, RSTART + RLENGTH)
    return code
}

# A type: its comment, its definition without comments, then its members with theirs.
function type_section(name,    code, plain, result, members, lead, statement, n, i, rest, trail, tag) {
    code = type_code[name]
    plain = without_comments(code)
    gsub(/\n[ \t]*\n/, "\n", plain)
    gsub(/\n[ \t]*\n/, "\n", plain)
    gsub(/^\n+/, "", plain)
    result = ".PP\n" listing(folded(plain))
    if (type_comment[name] != "")
        result = result render(type_comment[name], 0, 0)
    if (name == "weft_task" || name == "weft_fork_list" || code !~ /\/\*/)
        return result
    # Members, with the comment before or behind each.
    rest = code
    sub(/^[^{]*{[ \t]*\n?/, "", rest)
    sub(/\n?}[^}]*$/, "\n", rest)
    lead = ""
    while (rest ~ /[^ \t\n]/) {
        sub(/^[ \t\n]+/, "", rest)
        if (match(rest, /^\/\*([^*]|\*[^\/])*\*\//)) {
            lead = substr(rest, 3, RLENGTH - 4)
            rest = substr(rest, RSTART + RLENGTH)
            continue
        }
        n = index(rest, "/*")
        statement = n ? substr(rest, 1, n - 1) : rest
        rest = n ? substr(rest, n) : ""
        trail = ""
        if (lead == "" && statement !~ /\n[ \t]*$/ && match(rest, /^\/\*([^*]|\*[^\/])*\*\//)) {
            trail = substr(rest, 3, RLENGTH - 4)
            rest = substr(rest, RLENGTH + 1)
        }
        gsub(/[ \t\n]+/, " ", statement)
        sub(/[ ,;]+$/, "", statement)
        tag = statement
        if (lead != "")
            sub(/;.*/, "", tag)
        else
            sub(/.*; /, "", tag)
        text = lead trail
        gsub(/\n[ \t]*\*/, "\n", text)
        lead = ""
        if (text == "")
            continue
        result = result ".TP\n.B " escape_hyphens(quoted(tag)) "\n" prose(text)
    }
    return result
}

function quoted(text) {
    gsub(/"/, "\\(dq", text)
    return "\"" text "\""
}

function folded(plain,    lines, n, i, result) {
    n = split(plain, lines, "\n")
    result = ""
    for (i = 1; i < n; i++)
        result = result (length(lines[i]) > 72 ? fold(lines[i], 72) : lines[i] "\n")
    return result
}

function add_types(text,    rest, word) {
    rest = text
    while (match(rest, /weft_[a-z_0-9]+/)) {
        word = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        if (word in type_code && !(word in listed)) {
            listed[word] = 1
            type_order[++n_types] = word
            add_types(without_comments(type_code[word]))
        }
    }
}

# ---- pages ----

function title(name, section) {
    # A page with tables says so in its first line, to man.
    return (has_table ? "'\\\" t\n" : "") ".TH " name " " section " " date \
        " \"weft " version "\" \"weft manual\"\n.nh\n.ad l\n"
}

# "3weft_submit": what pages are sorted by.
function by_section(reference) {
    return substr(reference, length(reference) - 1, 1) reference
}

function see_also(    n, i, j, names, name, text, t) {
    n = 0
    for (name in see)
        names[++n] = name
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && by_section(names[j - 1]) > by_section(names[j]); j--) {
            t = names[j]; names[j] = names[j - 1]; names[j - 1] = t
        }
    text = n ? ".SH SEE ALSO\n" : ""
    for (i = 1; i <= n; i++) {
        name = names[i]
        sub(/\(.*/, "", name)
        text = text ".BR " escape_hyphens(name) " " substr(names[i], length(name) + 1) (i < n ? " ," : "") "\n"
    }
    return text
}

function forget(    name) {
    for (name in see)
        delete see[name]
    has_table = 0
}

function write(name, section, body,    path) {
    path = out "/man" section "/" name "." section
    printf "%s", title(name, section) body see_also() >path
    close(path)
}

function synopsis(page,    result, lines, n, i, statement) {
    result = ".SH SYNOPSIS\n.nf\n.B #include <weft/" page_file[page] ">\n.PP\n"
    n = split(page_protos[page], lines, "\n")
    for (i = 1; i < n; i++) {
        statement = lines[i]
        gsub(/, /, ",\001", statement)
        gsub(/ /, "\002", statement)
        gsub(/\001/, " ", statement)
        statement = fold(statement, 72)
        gsub(/\002/, " ", statement)
        sub(/\n$/, "", statement)
        gsub(/\n/, "\"\n.BI \"", statement)
        result = result ".BI \"" statement "\"\n"
    }
    return result ".fi\n"
}

function write_function(page,    body, i, n, names, note) {
    forget()
    current = page
    n = split(page_names[page], names, " ")
    body = ".SH NAME\n"
    for (i = 1; i <= n; i++)
        body = body names[i] (i < n ? ", " : "")
    body = body " \\- " briefs[page] "\n" synopsis(page)
    body = body ".SH DESCRIPTION\n" render(page_text[page], 0, 1)
    # Where the codes of several calls stand in the essay.
    if (codes == "" && page_protos[page] ~ /^weft_future \*/ && essay[page_file[page]] ~ /\n   ?E[A-Z]+  /)
        codes = "A future, or NULL and errno: as told in " mark("weft/" page_file[page]) ".\n"
    if (codes != "")
        body = body ".SH RETURN VALUE\n" codes
    n_types = 0
    for (i in listed)
        delete listed[i]
    add_types(page_protos[page])
    if (page_protos[page] ~ /unsigned flags/ && page_flags[page] != "")
        type_order[++n_types] = page_flags[page]
    if (n_types)
        body = body ".SH TYPES\n"
    for (i = 1; i <= n_types; i++)
        body = body type_section(type_order[i])
    if (page_note[page] != "") {
        note = render(page_note[page], 1, 0)
        body = body ".SH NOTES\n" note
    }
    seen(header_page(page_file[page]), 7)
    seen("weft-threads", 7)
    seen("weft-ownership", 7)
    write(page, 3, tidy(body))
    for (i = 1; i <= n; i++)
        if (names[i] != page) {
            system("ln -sf " page ".3 " out "/man3/" names[i] ".3")
        }
}

function functions(header,    list_of, n, i, j, m, names, result) {
    n = split(pages_of[header], list_of, " ")
    result = ""
    for (i = 1; i <= n; i++) {
        m = split(page_names[list_of[i]], names, " ")
        result = result ".TP\n.BR "
        for (j = 1; j <= m; j++)
            result = result (j > 1 ? " \", \" " : "") names[j] " (3)"
        result = result "\n" safe(briefs[list_of[i]]) "\n"
    }
    return result
}

# The essay without its first sentence, which is the page's name.
function essay_text(header,    text) {
    text = essay[header]
    sub(/^weft\/[a-z_]+\.h: [^.]*\.[ \n]*/, "", text)
    return text
}

function essay_brief(header,    text) {
    text = essay[header]
    sub(/^weft\/[a-z_]+\.h: /, "", text)
    gsub(/\n/, " ", text)
    sub(/\. .*|\.$/, "", text)
    return text
}

# A paragraph at the head of a section is one without being told.
function tidy(body) {
    gsub(/\.S[HS] [^\n]+\n\.PP\n/, "&\001", body)
    gsub(/\n\.PP\n\001/, "\n", body)
    return body
}

function write_header(header,    name, body) {
    forget()
    name = header_page(header)
    current = name
    body = ".SH NAME\n" escape_hyphens(name) " \\- " essay_brief(header) "\n"
    body = body ".SH SYNOPSIS\n.nf\n.B #include <weft/" header ">\n.fi\n"
    body = body ".SH DESCRIPTION\n" render(essay_text(header), 1, 0)
    if (pages_of[header] != "")
        body = body ".SH FUNCTIONS\n" functions(header)
    seen("weft", 7)
    write(name, 7, tidy(body))
}

# Of a header's essay the paragraphs from the one that begins "NAME." to the next that begins so.
function topic(header, wanted,    paragraphs, n, i, result, head) {
    n = split(essay_text(header), paragraphs, "\n\n")
    result = ""
    for (i = 1; i <= n; i++) {
        head = topic_of(paragraphs[i] "\n")
        if (head == wanted)
            result = paragraphs[i]
        else if (result != "" && head != "")
            break
        else if (result != "")
            result = result "\n\n" paragraphs[i]
    }
    if (result == "")
        fault("no paragraph of " header " begins with " wanted)
    sub(/^[^.]*\.( +|\n)/, "", result)
    return capital(result)
}

function write_template(path,    name, lines, n, i, words, body, wanted) {
    forget()
    name = path
    sub(/.*\//, "", name)
    sub(/\.7$/, "", name)
    current = name
    n = split(template_text[path], lines, "\n")
    body = ""
    for (i = 1; i < n; i++) {
        if (lines[i] !~ /^@/) {
            body = body lines[i] "\n"
            continue
        }
        split(lines[i], words, " ")
        wanted = lines[i]
        sub(/^@topic [^ ]+ /, "", wanted)
        if (words[1] == "@others")
            body = body others(path)
        else if (words[1] != "@head" && !(words[2] in essay))
            fault(path ": no header " words[2])
        else if (words[1] == "@essay")
            body = body render(essay_text(words[2]), 1, 0)
        else if (words[1] == "@topic")
            body = body render(topic(words[2], wanted), 0, 0)
        else if (words[1] == "@functions")
            body = body functions(words[2])
        else if (words[1] != "@head")
            fault(path ": unknown line " lines[i])
    }
    if (name == "weft") { # where one begins
        for (i = 1; i <= n_headers; i++)
            seen(header_page(headers[i]), 7)
        seen("weft-ownership", 7)
        seen("weft-threads", 7)
    }
    write(name, 7, tidy(body))
}

function others(path,    i, result) {
    result = ""
    for (i = 1; i <= n_headers; i++)
        if (index(template_text[path], "@functions " headers[i]) == 0)
            result = result functions(headers[i])
    return result
}

END {
    end_group()
    for (page = 1; page <= n_pages; page++)
        write_function(pages[page])
    for (page = 1; page <= n_headers; page++)
        if (headers[page] != "base.h" && headers[page] != "cancel.h" && headers[page] != "weft.h")
            write_header(headers[page])
    for (page = 1; page <= n_templates; page++)
        write_template(templates[page])
    exit faults
}
