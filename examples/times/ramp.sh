#!/bin/sh
# A mail to everybody at nine, but not to all of them at once: each at its own moment of half an hour, always the same.
#
#   ramp.sh < contacts.txt
set -eu

while read -r contact; do
    printf '{"type": "until-time", "time": "09:00", "spread": "30m", "execution": "news-%s", "contact": "%s"}\n' \
        "$contact" "$contact"
done | waitctl create --file -
