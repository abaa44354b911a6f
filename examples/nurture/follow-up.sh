#!/bin/sh
# The wait for the welcome mail has ended: opened, or two days of silence.
set -eu
case $WAITCTL_OUTCOME in
event)
    # The key that waitctl makes from the delivery and the step keeps this create at one wait, however often
    # this handler runs.
    waitctl create for-event form_submit,sms_reply --contact "$WAITCTL_CONTACT_ID" \
        --execution "$WAITCTL_EXECUTION_ID" --step answer --timeout 3d --handler close -o id > /dev/null
    printf '%s\n' "guide $WAITCTL_CONTACT_ID" >> "$OUTBOX"
    ;;
timeout)
    printf '%s\n' "reminder $WAITCTL_CONTACT_ID" >> "$OUTBOX"
    ;;
esac
