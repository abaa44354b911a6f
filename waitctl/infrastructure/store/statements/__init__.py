"""The statements, written in SQLAlchemy Core: what `make sql` renders, and what is built where it is dynamic."""
