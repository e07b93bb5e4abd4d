# Turns the protocol manual into a man page. Knows the Markdown that is used there and no more:
# headings, paragraphs, indented and fenced code, lists with "- ", `code`, comments.
function text(line) {
    gsub(/\\/, "\\e", line)
    gsub(/-/, "\\-", line)
    while (match(line, /`[^`]*`/))
        line = substr(line, 1, RSTART - 1) "\\fB" substr(line, RSTART + 1, RLENGTH - 2) "\\fR" \
               substr(line, RSTART + RLENGTH)
    if (line ~ /^[.']/)
        line = "\\&" line
    return line
}
NR == 1 { print ".TH SHIMD\\-PROTOCOL 7 \"\" \"shimd " version "\" \"shimd\""
          print ".SH NAME"; print "shimd\\-protocol \\- how to speak to a shimd cluster"; next }
/^<!--/ { next }
/^```/ { code = !code; print code ? ".nf\n.RS 4" : ".RE\n.fi"; next }
code { print text($0); next }
/^## / { print ".SH \"" toupper(text(substr($0, 4))) "\""; list = 0; next }
/^### / { print ".SS \"" text(substr($0, 5)) "\""; list = 0; next }
/^- / { print ".IP \\(bu 2"; print text(substr($0, 3)); list = 1; next }
/^[0-9]+\. / { n = $1; sub(/^[0-9]+\. /, ""); print ".IP " n " 4"; print text($0); list = 1; next }
/^# / { print ".SH \"" toupper(text(substr($0, 3))) "\""; list = 0; next }
/^$/ { if (list) blank = 1; else print ".PP"; next }
/^  / && list { sub(/^ +/, ""); print text($0); next }
{ if (blank || list) print ".PP"; list = blank = 0; print text($0) }
