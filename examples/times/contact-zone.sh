#!/bin/sh
# At eight in the morning where the contact is. Whoever moves is taken along: replan shows it, and --apply does it.
#
#   contact-zone.sh ada@example.org America/New_York
set -eu

waitctl contact set "$1" --tz "$2"
waitctl create until-time 08:00 --tz contact --contact "$1" --execution "greet-$1"
