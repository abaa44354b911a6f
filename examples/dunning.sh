#!/bin/sh
# Dunning: an invoice that is not paid is reminded of, then warned of, then given to a collector. Money that comes
# meanwhile ends it. One file is the whole flow: `start` makes the first wait, and as a handler it goes on from there.
#
#   [handlers.dunning]                       in the config file
#   exec = ["/path/to/dunning.sh"]
#
#   waitctl event types add payment          once
#   dunning.sh start A-17 ada@example.org    when the invoice goes out
#   waitctl event record payment --contact ada@example.org --id PAYMENT --data '{"invoice": "A-17"}'
set -eu

send() { # what a mail program would do
    printf '%s\n' "$1 $contact $invoice" >> "${OUTBOX:-/dev/stdout}"
}

wait_for_payment() { # STEP DURATION: silence is noticed in working hours only
    waitctl create for-event payment --match "invoice=$invoice" --contact "$contact" --execution "$invoice" \
        --step "$1" --timeout "$2" --timeout-window --window 'mon-fri 09:00-17:00' --tz Europe/Berlin \
        --workflow dunning --handler dunning -o id > /dev/null
}

if [ "${1:-}" = start ]; then
    invoice=$2 contact=$3
    wait_for_payment sent 14d
    exit
fi

invoice=$WAITCTL_EXECUTION_ID contact=$WAITCTL_CONTACT_ID
# The next wait first: made twice it is one, while a mail sent twice is two.
case $WAITCTL_STEP_ID:$WAITCTL_OUTCOME in
*:event) send receipt ;;
sent:timeout) wait_for_payment reminded 7d && send reminder ;;
reminded:timeout) wait_for_payment warned 7d && send warning ;;
warned:timeout) send collector ;;
esac
