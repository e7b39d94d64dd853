"""A trained network on disk: `model.safetensors`, `manifest.json` and the reference of its health, written whole or not
at all, read with suspicion.

`load` gives numpy arrays only (no torch, no pickle) and refuses, in one sentence that names the first difference,
whatever does not fit this code's feature schema or its own golden outputs (MES-ML-11, -12, -13).
Called by training (save) and scoring (load).
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from trading.learning.forward import CLASSES, WIDTH_MAX, Network, fuse, probabilities
from trading.learning.health.reference import Reference, ReferenceFault, Summary, read_reference
from trading.learning.schemas import Schema, SchemaError, check_hash, check_names, schema_of

FORMAT = 1
MANIFEST_FILE, WEIGHTS_FILE = "manifest.json", "model.safetensors"
REFERENCE_FILE = "reference.safetensors"
NETWORKS = ("feedforward",)
GOLDEN_ROWS = 16
GOLDEN_TOLERANCE = 1e-5
NORM_EPSILON = 1e-5  # torch's BatchNorm1d
OF_ONE_RUN = ("tape", "seconds", "out", "memory_bytes_max")  # of a request: what no other run by its recipe shares
BASE = Path(__file__).resolve().parent.parent.parent


class ArtifactError(ValueError):
    """An artifact that cannot be trusted or written; the message says what differs."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that must be known to use the weights, and to name what they came from."""

    format: int
    network: str
    hidden: list[int]
    dropout: float
    classes: list[str]
    feature_names: list[str]
    schema_id: str
    schema_hash: str
    scaler_mean: list[float]
    scaler_scale: list[float]
    class_weights: list[float]
    temperature: float
    symbol: str
    step_ns: int  # grid step of the tape that it was trained on
    horizon_ns: int
    cost_ticks: float
    seed: int
    data: dict[str, str]  # where the rows came from
    data_hash: str  # sha256 over the rows
    config_hash: str  # sha256 over the training request
    code_hash: str
    metrics: dict[str, dict[str, float | int | list[int] | None]]  # per part, with sizes and baselines
    history: list[dict[str, float]]
    versions: dict[str, str]
    created: str  # ISO 8601, UTC
    weights_sha256: str
    golden_inputs: list[list[float]]  # raw features
    golden_outputs: list[list[float]]  # calibrated probabilities
    reference: Summary | None = None  # of its health; None: made before there was one
    note: str = "Trained for demonstration; no edge is claimed."
    recipe_hash: str = ""  # sha256 over the request without its data: training again by it gives the same


class Artifact(NamedTuple):
    """A loaded artifact; `id` is the sha256 of the manifest's bytes."""

    manifest: Manifest
    network: Network
    schema: Schema
    id: str
    reference: Reference | None = None


def code_hash() -> str:
    """SHA-256 (hex) over the source that makes features, labels and training."""
    digest = hashlib.sha256()
    for folder in ("marketdata/core", "marketdata/core/barfeatures", "trading/learning"):
        for path in sorted((BASE / folder).glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def recipe_hash(request: Mapping[str, object]) -> str:
    """SHA-256 (hex) over a training request without its data: the same when it runs on other days (MOEX-GATE-01)."""
    recipe = {name: value for name, value in request.items() if name not in OF_ONE_RUN}
    return hashlib.sha256(msgspec.json.encode(recipe, order="sorted")).hexdigest()


def _require(truth: bool, words: str) -> None:
    if not truth:
        raise ArtifactError(words)


def schema_of_manifest(manifest: Manifest, where: str) -> Schema:
    """The features that it was trained on, as this desk computes them; names the first difference (MES-ACC-10.21)."""
    try:
        schema = schema_of(manifest.schema_id, manifest.symbol)
        check_names(manifest.feature_names, schema)
        check_hash(manifest.schema_hash, schema)
    except SchemaError as error:
        raise ArtifactError(f"{where}: {error}") from None
    return schema


def _check_manifest(manifest: Manifest, where: str) -> None:
    _require(manifest.format == FORMAT, f"{where}: format {manifest.format} is not {FORMAT}")
    _require(
        manifest.network in NETWORKS, f"{where}: network {manifest.network!r} is unknown; known: {', '.join(NETWORKS)}"
    )
    _require(manifest.classes == list(CLASSES), f"{where}: classes are {manifest.classes}, not {list(CLASSES)}")
    width = schema_of_manifest(manifest, where).width
    for name, values, length in (
        ("scaler mean", manifest.scaler_mean, width),
        ("scaler deviation", manifest.scaler_scale, width),
        ("class weight", manifest.class_weights, len(CLASSES)),
    ):
        _require(len(values) == length, f"{where}: {len(values)} values of the {name}, {length} are needed")
        _require(bool(np.isfinite(values).all()), f"{where}: a {name} is not finite")
    _require(min(manifest.scaler_scale) > 0, f"{where}: a scaler deviation is not above zero")
    _require(min(manifest.class_weights) > 0, f"{where}: a class weight is not above zero")
    calibrated = np.isfinite(manifest.temperature) and manifest.temperature > 0
    _require(bool(calibrated), f"{where}: temperature {manifest.temperature} is no calibration")
    _require(manifest.step_ns > 0 and manifest.horizon_ns > 0, f"{where}: grid step and horizon must be above zero")
    widths = all(0 < width <= WIDTH_MAX for width in manifest.hidden)
    _require(
        len(manifest.hidden) > 0 and widths, f"{where}: hidden widths {manifest.hidden} are not within 1..{WIDTH_MAX}"
    )
    sizes = len(manifest.golden_inputs), len(manifest.golden_outputs)
    _require(
        sizes == (GOLDEN_ROWS, GOLDEN_ROWS), f"{where}: {sizes[0]} and {sizes[1]} golden rows, {GOLDEN_ROWS} are needed"
    )


def tensor_shapes(inputs: int, hidden: list[int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a feed-forward network's tensors."""
    shapes: dict[str, tuple[int, ...]] = {}
    width = inputs
    for i, size in enumerate(hidden):
        shapes[f"hidden.{i}.linear.weight"] = (size, width)
        for name in ("linear.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"):
            shapes[f"hidden.{i}.{name}"] = (size,)
        width = size
    return shapes | {"head.weight": (len(CLASSES), width), "head.bias": (len(CLASSES),)}


def network_of(manifest: Manifest, tensors: Mapping[str, np.ndarray], where: str = "artifact") -> Network:
    """The fused network: batch normalisation folded into its layers in float64, then float32."""
    shapes = tensor_shapes(len(manifest.feature_names), manifest.hidden)
    for name in sorted(set(shapes) | set(tensors)):
        _require(name in tensors, f"{where}: tensor {name} is missing")
        _require(name in shapes, f"{where}: tensor {name} is unknown")
        _require(
            tensors[name].shape == shapes[name],
            f"{where}: tensor {name} has shape {tensors[name].shape}, not {shapes[name]}",
        )
        _require(tensors[name].dtype == np.float32, f"{where}: tensor {name} is {tensors[name].dtype}, not float32")
        _require(bool(np.isfinite(tensors[name]).all()), f"{where}: tensor {name} is not finite")
    layers = []
    for i in range(len(manifest.hidden)):
        part = {name.removeprefix(f"hidden.{i}."): tensors[name].astype(np.float64) for name in tensors}
        _require(part["norm.running_var"].min() >= 0, f"{where}: a variance of hidden.{i} is negative")
        gain = part["norm.weight"] / np.sqrt(part["norm.running_var"] + NORM_EPSILON)
        bias = (part["linear.bias"] - part["norm.running_mean"]) * gain + part["norm.bias"]
        layers.append((part["linear.weight"] * gain[:, None], bias))
    layers.append((tensors["head.weight"].astype(np.float64), tensors["head.bias"].astype(np.float64)))
    sizes, weights = fuse(layers)
    return Network(
        sizes,
        weights,
        np.array(manifest.scaler_mean),
        np.array(manifest.scaler_scale),
        -np.log(np.array(manifest.class_weights)),
        manifest.temperature,
    )


def _check_golden(manifest: Manifest, network: Network, where: str) -> None:
    """The fused network must answer the stored rows as the trained one did (MES-ML-13)."""
    out = np.empty(len(CLASSES))
    for i, (features, expected) in enumerate(zip(manifest.golden_inputs, manifest.golden_outputs, strict=True)):
        _require(len(features) == len(manifest.feature_names), f"{where}: golden row {i} has {len(features)} features")
        _require(len(expected) == len(CLASSES), f"{where}: golden row {i} has {len(expected)} outputs")
        probabilities(network, np.array(features, np.float64), out)
        difference = float(np.abs(out - expected).max())
        _require(
            difference <= GOLDEN_TOLERANCE,  # also false for a NaN
            f"{where}: golden row {i} differs by {difference:.3g}, more than {GOLDEN_TOLERANCE:.0e}",
        )


def _reference_of(manifest: Manifest, folder: Path, where: str) -> Reference | None:
    """The reference that the manifest names; an artifact that lost it is none."""
    if manifest.reference is None:
        return None
    try:
        data = (folder / REFERENCE_FILE).read_bytes()
        return read_reference(manifest.reference, data, len(manifest.feature_names))
    except OSError as error:
        raise ArtifactError(f"{where} is no complete artifact: {REFERENCE_FILE}: {error.strerror}") from None
    except ReferenceFault as error:
        raise ArtifactError(f"{where}: {REFERENCE_FILE}: {error}") from None


def load(folder: Path) -> Artifact:
    """Read and check an artifact.  Raises ArtifactError; never returns one that failed a check."""
    where = str(folder)
    try:
        data = (folder / MANIFEST_FILE).read_bytes()
        weights = (folder / WEIGHTS_FILE).read_bytes()
    except OSError as error:
        name = Path(error.filename).name if error.filename else where
        raise ArtifactError(f"{where} is no complete artifact: {name}: {error.strerror}") from None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise ArtifactError(f"{where}: {MANIFEST_FILE} is malformed: {error}") from None
    _check_manifest(manifest, where)
    digest = hashlib.sha256(weights).hexdigest()
    _require(
        digest == manifest.weights_sha256, f"{where}: {WEIGHTS_FILE} is not the file that the manifest names (sha256)"
    )
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    try:
        tensors = load_tensors(weights)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that numpy does not have
        raise ArtifactError(f"{where}: {WEIGHTS_FILE} cannot be read: {error}") from None
    network = network_of(manifest, tensors, where)
    _check_golden(manifest, network, where)
    schema, digest = schema_of_manifest(manifest, where), hashlib.sha256(data).hexdigest()
    return Artifact(manifest, network, schema, digest, _reference_of(manifest, folder, where))


def check_target(folder: Path) -> None:
    """Refuse a target that is in use, before any work is done."""
    empty = folder.is_dir() and not any(folder.iterdir())
    _require(
        not folder.exists() or empty,
        f"{folder} already exists: choose another folder, an artifact is never overwritten",
    )


def save(folder: Path, manifest: Manifest, weights: bytes, reference: bytes = b"") -> Artifact:
    """Write the files beside the target, load them back with every check, then rename: whole or not at all.

    `reference`: the bytes that `manifest.reference` names; none where it names none.
    """
    check_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, data in (
            (MANIFEST_FILE, msgspec.json.format(msgspec.json.encode(manifest))),
            (WEIGHTS_FILE, weights),
            *([(REFERENCE_FILE, reference)] if reference else []),
        ):
            with (temporary / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        artifact = load(temporary)
        temporary.chmod(0o755)
        os.replace(temporary, folder)  # replaces an empty folder, never a full one
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return artifact
