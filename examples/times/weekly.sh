#!/bin/sh
# A report every weekday at nine, no more often than so many times; a reply of the contact ends it.
#
#   weekly.sh ada@example.org 3
set -eu

waitctl create recurring --cron '0 9 * * mon-fri' --tz Europe/Berlin --count "$2" --stop-on sms_reply \
    --contact "$1" --execution "report-$1"
