#!/bin/sh
# Three business days of a company: Bavaria's holidays and its own, a Saturday that is worked, half a day before Christmas.
#
#   [calendars.company]                      in the config file
#   base = "DE-BY+catholic"
#   extra = { "2026-12-28" = "between the years" }
#   worked = ["2026-12-19"]
#   half_days = { "2026-12-24" = "09:00-12:00" }
#   hours = "mon-fri 09:00-17:00"
#
#   holidays.sh O-12
set -eu

waitctl create fixed-time 3bd --calendar company --tz Europe/Berlin --execution "$1" --step parcel
