#!/bin/sh
# An approval in a deploy script: it blocks until somebody says yes, an hour at most.
#
#   waitctl event types add approval         once
#   approval.sh v2.1 && ./deploy v2.1        in the deploy script
#   waitctl event record approval --contact release-v2.1      says yes
#   waitctl cancel --execution release-v2.1                   says no
#
# The wait is in the database: when the script dies and is started again, it asks nobody twice and goes on waiting.
set -eu
release=release-$1

wait=$(waitctl create for-event approval --contact "$release" --execution "$release" --timeout 1h -o id)
printf '%s\n' "may $release go out?" >> "${OUTBOX:-/dev/stderr}" # ask, in the chat of your team
status=0
waitctl await "$wait" > /dev/null || status=$?
case $status in
0) printf '%s\n' "$release: approved" ;;
7) printf '%s\n' "$release: refused, or nobody answered" && exit 1 ;;
*) exit "$status" ;;
esac
