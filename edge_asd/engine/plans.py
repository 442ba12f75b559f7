"""A bundle on TensorRT: opens the plans that are there and proven, and builds the others."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from edge_asd.bundle import Bundle
from edge_asd.bundle.manifest import Network, Precision
from edge_asd.engine import tensorrt
from edge_asd.engine.fallback import Fallback, Trust, explained
from edge_asd.engine.forge import CancelledError, Forge, Piece, Report
from edge_asd.engine.golden import check_golden
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.engine.plan_cache import CachedPlan, Host, PlanCache, PlanKey, Proof
from edge_asd.engine.strikes import Inside, Strikes
from edge_asd.engine_request import EngineRequest
from edge_asd.errors import EngineError, StorageError
from edge_asd.protocols import Engine

logger = logging.getLogger(__name__)

# Of the process, as CUDA's context is: what a fault has left of it must not be used by anybody.
_trust = Trust()


@dataclass(frozen=True, slots=True)
class NotBuilt:
    """Why TensorRT does not serve now."""

    reason: str
    buildable: bool = False
    """Whether building its plans, which takes minutes, would change that."""


def open_tensorrt(bundle: Bundle, request: EngineRequest) -> dict[str, Engine] | NotBuilt:
    """Open a bundle's networks on TensorRT if that takes no more than a moment.

    Args:
        bundle: Whose networks.
        request: In which precision, and where plans are kept.

    Returns:
        An engine for every network, proven, with ONNX Runtime behind it; or why there is none.
    """
    try:
        return Plans(bundle, request).open()
    except Exception as error:  # noqa: BLE001 - who cannot use a GPU listens without
        return NotBuilt(explained(error))


class Plans:
    """The plans of one bundle on this computer; used by one thread.

    Args:
        bundle: Whose networks.
        request: In which precision, and where plans are kept.

    Raises:
        EngineError: TensorRT or its GPU cannot be used, or not so.
    """

    def __init__(self, bundle: Bundle, request: EngineRequest) -> None:
        self._bundle, self._request = bundle, request
        self._precisions = _precisions(bundle, request)
        if _trust.failure:
            raise EngineError(f"TensorRT is not used again before a restart: {_trust.failure}")
        if request.cache is None:
            raise EngineError("TensorRT plans have no folder to be kept in")
        if lacks := tensorrt.lacking():
            raise EngineError(lacks)
        driver = Strikes(request.cache / "gpu.strikes", "the driver of the GPU")
        with contextlib.closing(driver.inside()) as inside, inside():
            here = tensorrt.platform()
        self._host = Host(here.version, here.gpu, here.compute_capability)
        self._proof = Proof(here.driver, bundle.sha256)
        self._cache = PlanCache(request.cache / "plans")

    def open(self) -> dict[str, Engine] | NotBuilt:
        """Open what is there and proven."""
        barred = []
        for precision in self._precisions:
            pieces = self._pieces(precision)
            reason = self._barred(pieces)
            if reason:
                barred.append(reason)
                continue
            plans = [plan for piece in pieces if (plan := self._proven(piece)) is not None]
            if len(plans) < len(pieces):
                return NotBuilt("its plans are not built yet", buildable=True)
            return self._serve(pieces, plans)
        return NotBuilt("; ".join(barred))

    def build(self, forge: Forge, report: Report) -> dict[str, Engine]:
        """Build and prove what is missing, then open it; takes minutes.

        Args:
            forge: Has it done by processes of their own.
            report: Told of progress.

        Raises:
            EngineError: No precision that may serve can be built and proven, or it was cancelled.
            BusyError: Another process builds.
        """
        failures = []
        with self._cache.building():
            for precision in self._precisions:
                pieces = self._pieces(precision)
                try:
                    reason = self._barred(pieces)
                    if not reason:
                        plans = [self._made(piece, forge, report) for piece in pieces]
                        return self._serve(pieces, plans)
                except CancelledError:
                    raise
                except EngineError as error:
                    reason = str(error)
                failures.append(reason)
        raise EngineError("; ".join(failures))

    # One plan

    def _pieces(self, precision: Precision) -> list[Piece]:
        return [Piece(self._bundle, one, precision) for one in self._bundle.manifest.networks]

    def _key(self, piece: Piece) -> PlanKey:
        sha256 = self._bundle.manifest.files[piece.network.member_of(piece.precision)]
        return PlanKey(self._host, sha256, piece.precision, piece.options.key)

    def _proven(self, piece: Piece) -> bytes | None:
        """The plan, if it may be used as it is."""
        found = self._cache.load(self._key(piece))
        return found.data if found and found.proof == self._proof else None

    def _made(self, piece: Piece, forge: Forge, report: Report) -> bytes:
        """The plan, proven: from the cache as far as it is there.

        Raises:
            EngineError: It cannot be built or proven; it is not tried again today.
        """
        proven = self._proven(piece)
        if proven is not None:
            return proven
        with contextlib.closing(self._strikes(piece).inside()) as inside:
            plan = self._forged(piece, forge, report, inside)
        try:
            self._cache.store(self._key(piece), CachedPlan(plan, self._proof))
        except StorageError as error:
            logger.warning("engine plan is not kept, the next start builds it again: %s", error)
        return plan

    def _forged(self, piece: Piece, forge: Forge, report: Report, inside: Inside) -> bytes:
        try:
            with inside():
                return self._proven_anew(piece, forge) or self._built(piece, forge, report)
        except CancelledError:
            raise
        except EngineError as error:
            self._strikes(piece).add(str(error), final=True)
            raise

    def _proven_anew(self, piece: Piece, forge: Forge) -> bytes | None:
        """A plan that was proven with another driver or bundle, if it does with these."""
        found = self._cache.load(self._key(piece))
        if found is None:
            return None
        try:
            forge.prove(piece, found.data)
        except CancelledError:
            raise
        except EngineError as error:
            logger.warning("engine plan is built again reason=%s", error)
            self._cache.remove(self._key(piece))
            return None
        return found.data

    def _built(self, piece: Piece, forge: Forge, report: Report) -> bytes:
        timing = self._cache.load_timing(self._host)
        built = forge.build(piece, timing, report, deadline_s=self._request.build_s)
        with contextlib.suppress(StorageError):  # that of the plan is told
            self._cache.store_timing(self._host, built.timing_cache)
        forge.prove(piece, built.plan)
        return built.plan

    # Serving

    def _serve(self, pieces: Sequence[Piece], plans: Sequence[bytes]) -> dict[str, Engine]:
        """Open plans in this process, each behind a fallback.

        Raises:
            EngineError: One of them does not do here what it did in its own process.
        """
        served = {}
        with ExitStack() as opening:
            for piece, plan in zip(pieces, plans, strict=True):
                engine = self._opened(piece, plan)
                opening.callback(engine.close)
                served[piece.network.id] = engine
            opening.pop_all()
        return dict(served)

    def _opened(self, piece: Piece, plan: bytes) -> Fallback:
        network, inside = piece.network, self._strikes(piece).inside()
        label, precision = f"{self._bundle.label}/{network.id}", piece.precision
        try:
            with ExitStack() as opening, inside():
                engine = tensorrt.TensorRtEngine(
                    plan, label, precision=precision, deadline_s=tensorrt.DEADLINE_S
                )
                opening.callback(engine.close)
                check_golden(self._bundle, network, engine, network.tolerance(precision))
                opening.pop_all()
        except Exception as error:
            inside.close()
            self._strikes(piece).add(explained(error))
            raise
        return Fallback(engine, lambda: self._spare(network), _trust, inside)

    def _spare(self, network: Network) -> Engine:
        """ONNX Runtime, proven: raises an EngineError if that fails, too."""
        label = f"{self._bundle.label}/{network.id}"
        onnx = self._bundle.network(network.id, "fp32")
        engine = OnnxEngine(onnx, label, self._request.threads)
        check_golden(self._bundle, network, engine, network.tolerance("fp32"))
        return engine

    def _strikes(self, piece: Piece) -> Strikes:
        path = self._cache.beside(self._key(piece), ".strikes")
        return Strikes(path, f"the TensorRT plan of {piece.label}")

    def _barred(self, pieces: Sequence[Piece]) -> str:
        """Why one of them must not be used now; empty if all may."""
        return next(filter(None, (self._strikes(piece).barred() for piece in pieces)), "")


def _precisions(bundle: Bundle, request: EngineRequest) -> tuple[Precision, ...]:
    """Those that may serve, the fastest first.

    Raises:
        EngineError: There is none.
    """
    halved = all(network.has("fp16") for network in bundle.manifest.networks)
    if request.precision == "auto":
        return ("fp16", "fp32") if halved else ("fp32",)
    if request.precision == "bf16":
        raise EngineError("TensorRT computes in fp16 or fp32 here, not in bf16")
    if request.precision == "fp16" and not halved:
        raise EngineError(f"{bundle.label} holds no fp16 network; engine.precision: auto")
    return (request.precision,)
