#!/bin/sh
# A sign-up nurture flow, played in a minute: a week of mail, replies and silence for a hundred contacts.
#
#   after the welcome mail, wait two days for it to be opened
#     opened -> send the guide, then wait three days for a form or a text message
#                 answered -> say thanks        silence -> say farewell
#     silence -> send a reminder
#
# Real use drops WAITCTL_AS_OF and --as-of: cron runs `waitctl tick` every minute and the days pass by themselves.
set -eu

here=$(cd "$(dirname "$0")" && pwd)/nurture
work=${1:-$(mktemp -d)}
mkdir -p "$work"
export WAITCTL_DATABASE_URL="sqlite:///$work/waits.db"
export WAITCTL_CONFIG="$work/config.toml"
export OUTBOX="$work/outbox.txt"
: > "$OUTBOX"

cat > "$WAITCTL_CONFIG" <<EOF
[handlers.follow-up]
exec = ["$here/follow-up.sh"]

[handlers.close]
exec = ["$here/close.sh"]
EOF

at() { # INSTANT: from here on it is this instant
    export WAITCTL_AS_OF=$1
    echo "== $1"
}

ingest() { # FILE: the day's events; bad lines are named and the rest goes on (exit status 1)
    waitctl event ingest "$here/$1" || echo "   ($1 has bad lines)"
}

tick() {
    waitctl tick --as-of "$WAITCTL_AS_OF" | cat
}

waitctl db upgrade
waitctl event types > "$work/event-types.txt"

at 2026-03-02T09:00:00Z
echo "welcome mail sent to $(wc -l < "$here/contacts.txt") contacts, each now waits for it to be opened"
xargs -P 2 -I CONTACT waitctl create for-event email_open --contact CONTACT --execution signup-CONTACT \
    --step welcome --timeout 2d --grace 6h --handler follow-up -o id < "$here/contacts.txt" > "$work/ids.txt"

at 2026-03-03T09:00:00Z
ingest day-1.ndjson
tick

at 2026-03-04T08:00:00Z
ingest day-2.ndjson
tick

at 2026-03-04T12:00:00Z # past the deadline, within the grace: what happened in time still counts
ingest day-3.ndjson
tick

at 2026-03-04T15:00:00Z
tick

at 2026-03-05T09:00:00Z
ingest day-4.ndjson
ingest day-4.ndjson # the same file again: nothing happens twice
tick

at 2026-03-07T09:00:00Z
tick

echo
echo "== what went out"
cut -d ' ' -f 1 "$OUTBOX" | sort | uniq -c
echo
echo "== what is left"
waitctl pending
