"""Every error waitctl raises on purpose.

    WaitStepError
    ├── InvalidInputError                    the caller asked for something that cannot be (exit 2)
    │   ├── InvalidWaitConfigurationError
    │   ├── InvalidWaitDurationError
    │   ├── InvalidWaitDateError
    │   ├── InvalidWaitTimeError
    │   ├── InvalidTimezoneError
    │   ├── InvalidRecurrenceError             a rule that nobody can follow
    │   ├── InvalidTemplateError               it can never work, or not with these values
    │   ├── UnknownCalendarError
    │   ├── CalendarRangeError                 a year that the calendar does not know
    │   ├── NoOpeningError                     no instant that all rules let pass
    │   ├── InvalidEventTypeError
    │   ├── InvalidEventError
    │   ├── InvalidTimeoutError
    │   ├── InvalidSettingError
    │   ├── InvalidSourceError                 a name that only what is verified may come under
    │   ├── UnsafeFileError                    code or secrets in a file that others could change
    │   ├── InlineCommandsNotAllowedError      a database for which nobody has allowed them
    │   ├── MissingCredentialError             what a webhook is verified with
    │   ├── InvalidExportError                 a file that no export has written, or that was changed since
    │   └── MissingLibraryError                an extra that was not installed
    ├── InvalidSignatureError                a webhook that its provider did not send, or not now (exit 1)
    ├── NotFoundError                        (exit 3)
    │   ├── WaitExecutionNotFoundError
    │   ├── EventListenerNotFoundError
    │   ├── EventNotFoundError
    │   ├── QuarantineNotFoundError
    │   ├── DeliveryNotFoundError
    │   ├── ContactNotFoundError
    │   ├── RecurrenceNotFoundError
    │   ├── TemplateNotFoundError
    │   └── PlanNotFoundError
    ├── ConflictError                        the state does not allow it (exit 4)
    │   ├── WaitExecutionExpiredError          it timed out
    │   ├── EventListenerExpiredError          its deadline has passed
    │   ├── IllegalTransitionError
    │   ├── WaitAlreadyOpenError
    │   ├── IdempotencyKeyConflictError
    │   ├── AmbiguousIdError
    │   ├── EventTypeInUseError
    │   ├── TemplateVersionError               that version is there, and is another
    │   ├── PayloadCutError                    too large to be kept whole
    │   ├── ReplanTooLargeError                more waits would change than the cap allows
    │   ├── PlanTooLargeError                  a plan means more than the cap allows
    │   ├── TooManyDeliveriesError             more would be retried than the cap allows
    │   ├── DatabaseNotEmptyError              an import would mix what it brings with what is there
    │   └── UnsafeConnectionError              a caller's transaction that could lose a wake-up
    └── DatabaseError                        (exit 5)
        ├── DatabaseUnreachableError
        ├── DatabaseNotFoundError
        ├── DatabaseReadOnlyError
        ├── DatabaseBusyError
        ├── DatabaseFullError
        ├── DatabaseDamagedError
        ├── ClockSkewError
        └── SchemaVersionError
            └── SchemaTooNewError              only another waitctl can read it

The first line of a class's docstring is its message when none is given; ``code`` is what ``-o json`` prints.
"""

from __future__ import annotations

import re
from typing import ClassVar


class WaitStepError(Exception):
    """The wait could not be handled."""

    code: ClassVar[str] = "wait_step"

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__.removesuffix("Error")).lower()

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").partition("\n")[0]
        self.hint = hint
        super().__init__(self.message)


class InvalidInputError(WaitStepError):
    """The input is not valid."""


class InvalidWaitConfigurationError(InvalidInputError):
    """The wait's configuration is not valid."""


class InvalidWaitDurationError(InvalidInputError):
    """The duration is not valid."""


class InvalidWaitDateError(InvalidInputError):
    """The date is not valid."""


class InvalidWaitTimeError(InvalidInputError):
    """The time of day is not valid."""


class InvalidTimezoneError(InvalidInputError):
    """The time zone is not known."""


class InvalidRecurrenceError(InvalidInputError):
    """The rule of a recurrence cannot be followed."""


class InvalidTemplateError(InvalidInputError):
    """The template is not valid."""


class UnknownCalendarError(InvalidInputError):
    """The calendar is not known."""


class CalendarRangeError(InvalidInputError):
    """The calendar does not know that year."""


class NoOpeningError(InvalidInputError):
    """There is no opening."""


class InvalidEventTypeError(InvalidInputError):
    """The event type is not known."""


class InvalidEventError(InvalidInputError):
    """The event is not valid."""


class InvalidTimeoutError(InvalidInputError):
    """The timeout is not valid."""


class InvalidSettingError(InvalidInputError):
    """A setting is not valid."""


class InvalidSourceError(InvalidInputError):
    """Only what is verified may come under the name of this source."""


class UnsafeFileError(InvalidInputError):
    """Others could change the file."""


class InlineCommandsNotAllowedError(InvalidInputError):
    """Inline commands are not allowed on this database."""


class MissingCredentialError(InvalidInputError):
    """What the webhook is verified with is missing."""


class InvalidExportError(InvalidInputError):
    """The export cannot be read."""


class MissingLibraryError(InvalidInputError):
    """An optional library is not installed."""


class InvalidSignatureError(WaitStepError):
    """The webhook's signature is not valid."""


class NotFoundError(WaitStepError):
    """Nothing is there under that name."""


class WaitExecutionNotFoundError(NotFoundError):
    """No such wait."""


class EventListenerNotFoundError(NotFoundError):
    """No such event listener."""


class EventNotFoundError(NotFoundError):
    """No such event."""


class QuarantineNotFoundError(NotFoundError):
    """No such payload in quarantine."""


class DeliveryNotFoundError(NotFoundError):
    """No such delivery."""


class ContactNotFoundError(NotFoundError):
    """Nothing is known of the contact."""


class RecurrenceNotFoundError(NotFoundError):
    """No such recurrence."""


class TemplateNotFoundError(NotFoundError):
    """No such template."""


class PlanNotFoundError(NotFoundError):
    """No such plan."""


class ConflictError(WaitStepError):
    """The present state does not allow it."""


class WaitExecutionExpiredError(ConflictError):
    """The wait has timed out."""


class EventListenerExpiredError(ConflictError):
    """The listener's deadline has passed."""


class IllegalTransitionError(ConflictError):
    """The wait cannot go from its status to that one."""


class WaitAlreadyOpenError(ConflictError):
    """Another wait is open for this execution and step."""


class IdempotencyKeyConflictError(ConflictError):
    """The key belongs to a wait that was asked for differently."""


class AmbiguousIdError(ConflictError):
    """The id fits more than one wait."""


class EventTypeInUseError(ConflictError):
    """Open waits listen to this event type."""


class TemplateVersionError(ConflictError):
    """The template has that version already."""


class PayloadCutError(ConflictError):
    """The payload was too large to be kept whole."""


class ReplanTooLargeError(ConflictError):
    """More waits would change than the cap allows."""


class PlanTooLargeError(ConflictError):
    """The plan means more waits than the cap allows."""


class TooManyDeliveriesError(ConflictError):
    """More deliveries would be retried than the cap allows."""


class DatabaseNotEmptyError(ConflictError):
    """The database is not empty."""


class UnsafeConnectionError(ConflictError):
    """This transaction could lose a wake-up."""


class DatabaseError(WaitStepError):
    """The database cannot be used."""


class DatabaseUnreachableError(DatabaseError):
    """The database cannot be reached."""


class DatabaseNotFoundError(DatabaseError):
    """There is no database."""


class DatabaseReadOnlyError(DatabaseError):
    """The database is read-only."""


class DatabaseBusyError(DatabaseError):
    """The database is busy."""


class DatabaseFullError(DatabaseError):
    """The disk is full."""


class DatabaseDamagedError(DatabaseError):
    """The database is damaged."""


class ClockSkewError(DatabaseError):
    """This host's clock is behind the last tick."""


class SchemaVersionError(DatabaseError):
    """The database's schema is not the one this waitctl works with."""


class SchemaTooNewError(SchemaVersionError):
    """The database's schema is newer than this waitctl."""
