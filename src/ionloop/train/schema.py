"""Documents of the train stage."""

from pydantic import Field

from ionloop.document import Blob, Document


class Hyperparameters(Document):
    """MACE's hyper-parameters that a campaign may set; others are errors.

    The defaults are a small production model. ``r_max`` belongs to the profile.
    """

    hidden_irreps: str = Field("64x0e + 64x1o", description="Irreps of the messages.")
    num_interactions: int = Field(2, ge=1, description="Message-passing layers.")
    max_ell: int = Field(3, ge=0, description="Highest spherical harmonic.")
    correlation: int = Field(3, ge=1, description="Body order of the product basis less one.")
    radial_mlp: list[int] = Field(default=[64, 64, 64], description="Radial network.")
    mlp_irreps: str = Field("16x0e", description="Hidden irreps of the readout.")
    batch_size: int = Field(4, ge=1, description="Frames a step.")
    lr: float = Field(0.01, gt=0, description="Learning rate.")
    ema_decay: float = Field(0.99, gt=0, lt=1, description="Decay of the weights' average.")
    epochs: int = Field(200, ge=1, description="Epochs of a first training.")
    warm_epochs: int = Field(80, ge=1, description="Epochs of a warm start.")
    eval_interval: int = Field(5, ge=1, description="Epochs between validations.")
    energy_weight: float = Field(10.0, ge=0, description="Weight of energies in the loss.")
    forces_weight: float = Field(100.0, gt=0, description="Weight of forces in the loss.")
    stress_weight: float = Field(10.0, ge=0, description="Weight of stress in the loss.")
    dtype: str = Field("float64", pattern="^float(32|64)$", description="Precision.")
    pair_repulsion: bool = Field(True, description="ZBL repulsion at short range.")  # noqa: FBT003


class EpochLog(Document):
    """One line of the training log."""

    epoch: int = Field(description="Epoch; -1 is before training.")
    loss: float = Field(description="Validation loss.")
    rmse_forces: float | None = Field(None, description="Force RMSE on validation, eV/Å.")
    rmse_energy: float | None = Field(None, description="Energy RMSE on validation, eV/atom.")


class ModelFile(Document):
    """A model file that a user gave, and which one it was."""

    path: str = Field(description="Where it is, on every worker.")
    sha256: str = Field(description="Hash of its content when the campaign was made.")


class Member(Document):
    """One trained model of a committee."""

    index: int = Field(description="Position in the committee.")
    seed: int = Field(description="Seed of network weights, bootstrap and shuffling.")
    generation: int = Field(description="Generation that trained it.")
    warm_start: bool = Field(description="Whether it began from its predecessor.")
    n_train: int = Field(description="Training frames, each with a bootstrap weight.")
    n_valid: int = Field(description="Validation frames.")
    model_hash: str = Field(description="sha256 of the model file.")
    model_file: Blob = Field(description="The model file.")
    log: list[EpochLog] = Field(description="Validation by epoch.")
    hyperparameters: Hyperparameters = Field(description="What it was trained with.")
    mace_version: str = Field(description="Version of mace-torch.")
    wall_s: float = Field(description="Wall time, s.")


class Calibration(Document):
    """How the committee's spread relates to true errors, on held-out labels.

    ``sigma`` is the spread of the force vector of one mobile ion over the committee.
    The scale is conformal: with probability 0.9 a new error lies below
    ``scale_90 * sigma`` if it is exchangeable with the calibration errors.
    """

    generation: int = Field(description="Generation of the committee.")
    n_frames: int = Field(description="Held-out frames.")
    n_ions: int = Field(description="Held-out mobile-ion forces.")
    held_out: str = Field(
        description="Which labels, and how many: validation, which chose the best epoch, and "
        "random ones that no training saw."
    )
    scale: float = Field(description="Factor from raw spread to RMS error, dimensionless.")
    scale_90: float = Field(description="Factor from raw spread to a 90 % bound.")
    coverage_90: float = Field(description="Share covered in leave-one-frame-out, 0 to 1.")
    rmse_forces: float = Field(description="Force RMSE over mobile ions' components, eV/Å.")
    sigma_lo: float = Field(description="Below: trusted. Calibrated, eV/Å.")
    sigma_hi: float = Field(description="Above: unphysical. Calibrated, eV/Å.")
    curve: list[tuple[float, float]] = Field(
        description="Mean calibrated spread and RMS error by quantile bin, eV/Å."
    )


class OriginForesight(Document):
    """How the committee's bounds held on new labels of one origin."""

    origin: str = Field(description="Origin of the frames; 'all' for all together.")
    n_frames: int = Field(description="New labels.")
    n_ions: int = Field(description="Their mobile ions.")
    coverage_90: float = Field(description="Share of errors within the 90 % bound, 0 to 1.")
    interval: tuple[float, float] | None = Field(
        description="90 % interval of that share by a bootstrap over frames; None below five."
    )
    error_ratio: float = Field(
        description="RMS error over the RMS of the calibrated spread; 1 if it's right."
    )
    warning: str | None = Field(
        None,
        description="What is wrong, where the whole interval of ten frames or more lies outside "
        "85 to 95 %.",
    )


class Foresight(Document):
    """How a committee's calibrated bounds held on the labels that it chose."""

    generation: int = Field(description="Generation of the labels.")
    committee: int = Field(description="Generation of the committee.")
    origins: list[OriginForesight] = Field(description="All labels together, then by origin.")


class LastLayers(Document):
    """What a committee's members learned of, so that each can tell by itself what is unusual."""

    generation: int = Field(description="Generation of the committee.")
    n_frames: int = Field(description="Training frames that it was fitted to.")
    r_max: float = Field(description="Cut-off of an ion's neighbours, Å.")
    scales: list[float] = Field(
        description="By member: from the value to the RMS error of the committee's mean, eV/Å."
    )
    rank_correlations: list[float] = Field(
        description="By member: Spearman's rho of value and error, mobile ions of held-out labels."
    )
    missing: str | None = Field(None, description="Why there are none; None if there are.")
    blob: Blob = Field(description="Arrays: member_element, [f, f]; none where there are none.")


class TrainedModel(Document):
    """One model of a committee that was trained on a file of labels."""

    index: int = Field(description="Position in the committee.")
    file: str = Field(description="Name of the model file, beside this document.")
    sha256: str = Field(description="Hash of the model file.")
    seed: int = Field(description="Seed of network weights, bootstrap and shuffling.")
    n_train: int = Field(description="Training frames, each with a bootstrap weight.")
    n_valid: int = Field(description="Validation frames.")
    log: list[EpochLog] = Field(description="Validation by epoch.")
    mace_version: str = Field(description="Version of mace-torch.")
    wall_s: float = Field(description="Wall time, s.")


class TrainedCommittee(Document):
    """A committee that was trained on a file of labels."""

    mobile_ion: str = Field(description="Element of the mobile ion.")
    r_max: float = Field(description="Cut-off, Å.")
    e0s: dict[str, float] = Field(description="Isolated-atom energies, stated or fitted, eV.")
    hyperparameters: Hyperparameters = Field(description="What every member was trained with.")
    members: list[TrainedModel] = Field(description="The models.")
    calibration: Calibration = Field(description="Of its spread, on validation labels.")
