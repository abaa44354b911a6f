#!/bin/sh
# On-call escalation: page one person after the other, five minutes each, until one of them takes it.
#
#   [handlers.on-call]                       in the config file
#   exec = ["/path/to/on-call.sh"]
#
#   waitctl event types add acknowledged     once
#   on-call.sh start disk-full-db1           when the alert goes off
#   waitctl event record acknowledged --contact disk-full-db1 --data '{"by": "bob"}'      takes it
#
# The contact of a wait is whatever both sides know: here it is the alert.
set -eu
people=${ON_CALL:-ada bob eve}

send() { # what a pager would do
    printf '%s\n' "$*" >> "${OUTBOX:-/dev/stdout}"
}

page() { # NUMBER of the person
    person=$(printf '%s\n' "$people" | cut -s -d ' ' -f "$1")
    if [ -z "$person" ]; then
        send "nobody takes $alert: tell everybody"
        return
    fi
    waitctl create for-event acknowledged --contact "$alert" --execution "$alert" --step "page-$1" \
        --timeout 5m --workflow on-call --handler on-call -o id > /dev/null
    send "page $person: $alert"
}

if [ "${1:-}" = start ]; then
    alert=$2
    page 1
    exit
fi

alert=$WAITCTL_EXECUTION_ID
case $WAITCTL_OUTCOME in
event) send "$alert is taken" ;;
timeout) page $((${WAITCTL_STEP_ID#page-} + 1)) ;;
esac
