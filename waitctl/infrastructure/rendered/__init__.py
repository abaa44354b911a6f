"""The kept statements as the drivers get them, a module a database. Generated: `make sql` writes them anew."""
