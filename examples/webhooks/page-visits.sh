#!/bin/sh
# An access log in the combined format, on standard input, as page_visit events in NDJSON.
#
#   examples/webhooks/page-visits.sh < access.log | waitctl event ingest --source site
#
# A line without a user is nobody's visit; pictures, scripts and what went wrong are no visits. The id is made of who,
# when and what: the same log read again, by cron say, records nothing twice.
set -eu

awk '
BEGIN {
    split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", names, " ")
    for (i in names) month[names[i]] = sprintf("%02d", i)
}
function quoted(text) {
    gsub(/\\/, "&&", text)
    gsub(/"/, "\\\"", text)
    gsub(/[[:cntrl:]]/, " ", text)
    return "\"" text "\""
}
{
    user = $3
    path = $7
    status = $9
    if (user == "-" || status !~ /^2/ || path ~ /\.(css|js|png|jpg|gif|svg|ico|woff2?)(\?|$)/) next
    # [02/Mar/2026:08:58:01 +0000]
    split(substr($4, 2), at, /[\/:]/)
    zone = substr($5, 1, 3) ":" substr($5, 4, 2)
    instant = at[3] "-" month[at[2]] "-" at[1] "T" at[4] ":" at[5] ":" at[6] zone
    id = $1 " " instant " " path
    if (length(id) > 200) id = substr(id, 1, 100) " " length(id) " " substr(id, length(id) - 89)
    printf "{\"type\": \"page_visit\", \"contact\": %s, \"id\": %s, \"at\": %s, \"data\": {\"url\": %s}}\n",
        quoted(user), quoted(id), quoted(instant), quoted(path)
}'
