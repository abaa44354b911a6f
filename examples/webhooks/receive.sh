#!/bin/sh
# What adnanh/webhook runs for each request: SOURCE names [sources.SOURCE] of waitctl's config.
#
# HOOK_BODY and HOOK_HEADERS are files with the raw body and the headers as JSON. webhook answers 500 when this fails:
# the sender tries again, so answer well only what is stored, or kept in quarantine.
set -u

source=$1
totals=$(waitctl event ingest "$HOOK_BODY" --source "$source" --headers-file "$HOOK_HEADERS" -o json)
status=$?
[ -n "$totals" ] && printf '%s\n' "$totals"

# 1 with totals: refused, and kept in quarantine; sent again, it would be refused again. Without: a full disk, say.
[ "$status" -eq 1 ] && [ -n "$totals" ] && exit 0
exit "$status"
