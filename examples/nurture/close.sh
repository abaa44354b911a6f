#!/bin/sh
# The wait for an answer has ended: a form or a text message came, or three days of silence.
set -eu
case $WAITCTL_OUTCOME in
event) printf '%s\n' "thanks $WAITCTL_CONTACT_ID ($WAITCTL_EVENT_TYPE)" >> "$OUTBOX" ;;
timeout) printf '%s\n' "farewell $WAITCTL_CONTACT_ID" >> "$OUTBOX" ;;
esac
