#!/bin/sh
# What adnanh/webhook runs for each request: SOURCE names [sources.SOURCE] of waitctl's config.
#
# HOOK_BODY and HOOK_HEADERS are files with the raw body and the headers as JSON. webhook answers 500 when this fails:
# the sender tries again, so answer well only what is stored, or kept in quarantine.
set -u

source=$1
waitctl event ingest "$HOOK_BODY" --source "$source" --headers-file "$HOOK_HEADERS" -o json
status=$?

# 1: refused, and kept in quarantine. Sending it again would be refused again.
[ "$status" -eq 1 ] && exit 0
exit "$status"
