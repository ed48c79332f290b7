"""The exceptions that ionloop raises on purpose.

Every message says what was expected, what came, and what to do. The command
line turns an :class:`IonloopError` into one line and exit status 2.
"""


class IonloopError(Exception):
    """Base of all errors that a user can mend."""


class ProfileError(IonloopError):
    """The material's description contradicts itself or the structure."""


class StructureError(IonloopError):
    """A structure can't be used: not periodic, partly occupied, unknown element."""


class ReferenceSetupError(IonloopError):
    """A reference calculation can't start: a program, file or setting is missing."""


class ImportLabelsError(IonloopError):
    """Existing data can't be taken as labels: unreadable, incomplete, of unknown settings."""


class LabelError(IonloopError):
    """Labels can't be used: of other settings, not admitted, not known."""


class BatchPausedError(LabelError):
    """Too few labels of a batch were admitted: the campaign waits for a decision."""


class TrainingError(IonloopError):
    """A model could not be trained, read or written."""


class ExplorationError(IonloopError):
    """Molecular dynamics or a band on the committee can't start."""


class TrajectoryError(IonloopError):
    """A trajectory can't be read, or its atoms can't be followed from frame to frame."""


class EvaluationError(IonloopError):
    """A property can't be estimated from the data given."""


class StoreError(IonloopError):
    """MongoDB can't be found, reached or used."""


class UnsafePathError(IonloopError):
    """A name out of a document leads out of the folder that it is meant for."""


class EngineError(IonloopError):
    """A flow can't be loaded, submitted or resumed."""


class DashboardError(IonloopError):
    """The dashboard can't start."""
