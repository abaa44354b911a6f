#!/bin/sh
# Reminders of a booking: a day and an hour before it, where the guest is; a booking that moves takes them along.
#
#   [handlers.booking]                       in the config file
#   exec = ["/path/to/booking.sh"]
#
#   booking.sh book B-9 ada@example.org '2026-03-12 15:00' America/New_York    booked, or moved to another time
#   booking.sh cancel B-9
set -eu

remind() { # STEP OFFSET: what would lie in the past is left out
    waitctl create until-date "$start" --offset="-$2" --tz "$zone" --execution "$booking" --step "$1" --contact "$guest" \
        --replace --workflow booking --handler booking -o id > /dev/null || [ $? = 2 ]
}

case ${1:-} in
book)
    booking=$2 guest=$3 start=$4 zone=$5
    remind day 1d
    remind hour 1h
    ;;
cancel)
    waitctl cancel --execution "$2" --reason 'the booking is cancelled' > /dev/null
    ;;
*)
    printf '%s\n' "$WAITCTL_STEP_ID $WAITCTL_CONTACT_ID $WAITCTL_EXECUTION_ID" >> "${OUTBOX:-/dev/stdout}"
    ;;
esac
