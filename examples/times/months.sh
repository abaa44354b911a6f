#!/bin/sh
# An invoice on the first Monday of next month at nine, and the contract's end on the last business day of its month.
#
#   months.sh C-7 2026-09-10
set -eu

waitctl create fixed-time 1mo --on 'first monday' --at 09:00 --tz Europe/Berlin --execution "$1" --step invoice
waitctl create until-date "$2" --on 'last business day' --calendar DE-BY --tz Europe/Berlin --execution "$1" --step end
