#!/bin/sh
# What adnanh/webhook runs for each request: SOURCE names [sources.SOURCE] of waitctl's config.
#
# HOOK_BODY and HOOK_HEADERS are files with the raw body and the headers as JSON. What is printed goes to webhook's log:
# hooks.json keeps it from the sender. When this fails webhook answers 500, and the sender tries again: what was refused
# was not taken, and what nobody signed deserves no better answer.
set -u

source=$1
exec waitctl event ingest "$HOOK_BODY" --source "$source" --headers-file "$HOOK_HEADERS" -o json
