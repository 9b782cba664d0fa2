"""Contrastive losses over all pairs of a batch, without ever holding a (B, B, n) array.

The similarities are computed in strips of rows that stay in cache, and where queries and keys are the same
codes only the half s_ij, j >= i. Between forward and backward one number per computed pair is kept, 76 MB at
B = 6144 in float32 and twice that against separate keys; beyond KEPT pairs they are computed again instead, so
that memory stays linear in B.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

KEPT = 2**27  # pairs, 512 MB in float32
LARGEST_SQUARE = 200.0  # of a centred code; beyond, 2 u.v - ||u||^2 - ||v||^2 rounds visibly


def info_nce(
    anchor: Tensor,
    positive: Tensor,
    *,
    similarity: str = "lp",
    p: float = 2.0,
    tau: float = 1.0,
    alpha: float = 0.5,
    symmetric: bool = False,
    self_negative: bool = True,
    negatives: int | None = None,
) -> Tensor:
    """2 E_i[-alpha s(h_i, h'_i) + (1 - alpha) log(e^s(h_i, h'_i) + sum_j e^s(h_i, h_j))], j over the batch.

    Unbounded, like the similarities; 2 (1 - alpha) log(B + 1) for constant codes.

    Args:
        anchor: Codes h, (B, n).
        positive: Codes h' of the anchors' positives, (B, n).
        similarity: "vmf": s(u, v) = u.v / tau; "lp": s(u, v) = -||u - v||_p^p / tau.
        p: Exponent of "lp", at least 1.
        tau: Temperature, positive.
        alpha: Weight of the positives' term.
        symmetric: Mean with the same loss where the positives are the queries and each other's negatives.
        self_negative: Whether h_i is among its own negatives, as in the papers' code.
        negatives: M splits the batch into groups of M, j runs over the anchor's own group; None: one group.

    Raises:
        ValueError: For an option out of its range, shapes that differ, or M that does not divide B.

    References:
        Zimmermann et al. 2020 (workshop); Zimmermann et al. 2021, "Contrastive Learning Inverts the Data
        Generating Process", and its code.
    """
    own = matched_similarity(anchor, positive, similarity=similarity, p=p, tau=tau)
    size = negatives if negatives is not None else len(anchor)
    if size < 1 or len(anchor) % size:
        raise ValueError(
            f"negatives is {negatives}: the batch of {len(anchor)} is split into groups of it, take a divisor"
        )

    def loss(queries: Tensor) -> Tensor:
        if size == 1 and not self_negative:
            return 2 * (1 - 2 * alpha) * own  # the positive is all that is left to tell apart
        against = [
            log_partition(group, similarity=similarity, p=p, tau=tau, exclude_self=not self_negative)
            for group in torch.split(queries, size)
        ]
        return 2 * ((1 - alpha) * torch.logaddexp(torch.cat(against), own) - alpha * own)

    losses = loss(anchor)
    return ((losses + loss(positive)) / 2 if symmetric else losses).mean()


def align_uniform(
    anchor: Tensor, positive: Tensor, *, alpha: float = 0.5, p: float = 2.0, self_negative: bool = True
) -> Tensor:
    """alpha E_i log E_j exp(-||h_i - h_j||_p^p) + (1 - alpha) E_i ||h_i - h'_i||_p^p.

    The first term is uniformity, in [-inf, 0], the second alignment, in [0, inf].

    Args:
        anchor: Codes h, (B, n).
        positive: Codes h' of the anchors' positives, (B, n).
        alpha: Weight of uniformity.
        p: Exponent, at least 1.
        self_negative: Whether j = i is among the negatives, as in `info_nce`.

    Raises:
        ValueError: For p < 1, shapes that differ, or a batch of one without its self-negative.

    References:
        Zimmermann et al. 2020 (workshop), loss L_AU; Wang & Isola 2020 for p = 2 on the sphere.
    """
    alignment = -matched_similarity(anchor, positive, p=p).mean()
    partition = log_partition(anchor, p=p, exclude_self=not self_negative)
    uniformity = partition.mean() - math.log(len(anchor) - (not self_negative))
    return alpha * uniformity + (1 - alpha) * alignment


def matched_similarity(
    queries: Tensor, keys: Tensor, *, similarity: str = "lp", p: float = 2.0, tau: float = 1.0
) -> Tensor:
    """s(u_i, v_i), row by row: (B, n) and (B, n) -> (B,); options and errors as for `log_partition`."""
    _check(queries, keys, similarity, p, tau)
    if queries.shape != keys.shape:
        raise ValueError(
            f"anchors are {tuple(queries.shape)} and positives {tuple(keys.shape)}: a pair is one row of each"
        )
    if similarity == "vmf":
        return (queries * keys).sum(1) / tau
    return -(queries - keys).abs().pow(p).sum(1) / tau


def log_partition(
    queries: Tensor,
    keys: Tensor | None = None,
    *,
    similarity: str = "lp",
    p: float = 2.0,
    tau: float = 1.0,
    exclude_self: bool = False,
) -> Tensor:
    """log sum_j exp s(u_i, v_j): queries (B, n) and keys (M, n) -> (B,).

    No sum overflows or underflows as long as the similarities themselves are finite. For p = 2 they come from
    matrix products of centred codes while ||u - mean||^2 / tau < 200 for all codes, which rounds them by less
    than 1e-4 in float32 (1e-12 in float64), and from differences beyond. At ties the gradient of p = 1 is the
    subgradient 0. There is no second derivative. NaN in a code gives NaN.

    Args:
        queries: Codes u.
        keys: Codes v; None: the queries themselves, at half the cost.
        similarity: "vmf": s(u, v) = u.v / tau; "lp": s(u, v) = -||u - v||_p^p / tau.
        p: Exponent of "lp", at least 1; 1, 2, 3 and 4 are fast.
        tau: Temperature, positive.
        exclude_self: Leave out j = i; only without keys.

    Raises:
        ValueError: For an option out of its range, shapes that do not match, or a row without any key.

    Example:
        >>> log_partition(torch.zeros(4, 10)).exp()
        tensor([4., 4., 4., 4.])
    """
    _check(queries, queries if keys is None else keys, similarity, p, tau)
    if exclude_self and keys is not None:
        raise ValueError(
            "exclude_self is for queries that are their own keys: leave out keys or exclude_self"
        )
    if exclude_self and len(queries) == 1:
        raise ValueError(
            "a batch of one has only itself as negative: take a larger one, or keep the self-negative"
        )
    if similarity == "vmf":
        scale, centre = tau**-0.5, None
    else:
        scale, centre = tau ** (-1 / p), (queries if keys is None else keys).detach().mean(0)
    u, v = (codes if codes is None else _standardised(codes, centre, scale) for codes in (queries, keys))
    assert u is not None
    result: Tensor = _LogPartition.apply(u, v, None if similarity == "vmf" else p, exclude_self)
    return result


def _standardised(codes: Tensor, centre: Tensor | None, scale: float) -> Tensor:
    """(n, B), so that a dimension is contiguous, with tau and the common offset taken out."""
    return ((codes if centre is None else codes - centre) * scale).T.contiguous()


def _check(queries: Tensor, keys: Tensor, similarity: str, p: float, tau: float) -> None:
    if similarity not in ("vmf", "lp"):
        raise ValueError(f"similarity is {similarity!r}: it must be 'vmf' or 'lp'")
    if similarity == "lp" and not 1 <= p < math.inf:
        raise ValueError(f"p is {p}: it must be at least 1 and finite")
    if not 0 < tau < math.inf:
        raise ValueError(f"tau is {tau}: it must be positive and finite")
    for name, codes in (("queries", queries), ("keys", keys)):
        if codes.ndim != 2 or 0 in codes.shape:
            raise ValueError(f"{name} are {tuple(codes.shape)}: codes are (batch, dimensions), neither empty")
        if codes.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{name} are {codes.dtype}: convert the codes to float32 or float64")
    if queries.shape[1] != keys.shape[1] or queries.dtype != keys.dtype:
        raise ValueError(
            f"queries are {tuple(queries.shape)} {queries.dtype} and keys {tuple(keys.shape)} {keys.dtype}: "
            "both need the same number of dimensions and the same type"
        )


# A kernel is a similarity on dimension-major codes u (n, b) and v (n, m). `fill` writes s_ij to out (b, m);
# `pull` adds the gradient of sum_ij weights_ij s_ij to du (n, b) and dv (n, m).


class _Dot:
    """u.v"""

    def fill(self, out: Tensor, u: Tensor, v: Tensor) -> None:
        torch.mm(u.T, v, out=out)

    def pull(self, weights: Tensor, u: Tensor, v: Tensor, du: Tensor, dv: Tensor) -> None:
        du += v @ weights.T
        dv += u @ weights


class _SquaredDistance:
    """-||u - v||^2 = 2 u.v - ||u||^2 - ||v||^2"""

    def fill(self, out: Tensor, u: Tensor, v: Tensor) -> None:
        torch.addmm(v.square().sum(0).expand_as(out), u.T, v, beta=-1, alpha=2, out=out)
        out.sub_(u.square().sum(0)[:, None]).clamp_(max=0)

    def pull(self, weights: Tensor, u: Tensor, v: Tensor, du: Tensor, dv: Tensor) -> None:
        du += 2 * (v @ weights.T - weights.sum(1) * u)
        dv += 2 * (u @ weights - weights.sum(0) * v)


class _Distance:
    """-||u - v||_p^p, one dimension at a time."""

    def __init__(self, p: float, like: Tensor, size: int) -> None:
        self.p = p
        self.buffers = like.new_empty(2, size)

    def fill(self, out: Tensor, u: Tensor, v: Tensor) -> None:
        power = self.buffers[0, : out.numel()].view_as(out)
        out.zero_()
        for a, b in zip(u, v, strict=True):
            torch.sub(a[:, None], b, out=power)
            if self.p == 4:
                power.square_().square_()  # pow_ is fast for 2 and 3 only
            elif self.p == 2:
                power.square_()
            elif self.p == 1:
                power.abs_()
            else:
                power.abs_().pow_(self.p)
            out -= power

    def pull(self, weights: Tensor, u: Tensor, v: Tensor, du: Tensor, dv: Tensor) -> None:
        slope, spare = self.buffers[:, : weights.numel()].view(2, *weights.shape)
        for a, b, da, db in zip(u, v, du, dv, strict=True):
            torch.sub(a[:, None], b, out=slope)
            if self.p == 1:
                slope.sign_()
            elif self.p == 3:
                slope *= torch.abs(slope, out=spare)
            elif self.p == 4:
                slope.pow_(3)
            elif self.p != 2:
                torch.abs(slope, out=spare).pow_(self.p - 1)
                slope.sign_().mul_(spare)
            slope *= weights
            da.sub_(slope.sum(1), alpha=self.p)
            db.add_(slope.sum(0), alpha=self.p)


@dataclass(frozen=True)
class _Strip:
    """exp(s_ij - shift_i) for rows [start, stop) and all columns from `first` on; no values: to be computed again."""

    start: int
    stop: int
    first: int
    values: Tensor | None


class _LogPartition(torch.autograd.Function):
    """log sum_j exp s_ij on dimension-major codes.

    With Z_i = sum_j exp s_ij and upstream gradients g, the gradient for s_ij is exp(s_ij) g_i / Z_i. Against
    themselves, codes have s_ij = s_ji; a computed pair stands for both: exp(s_ij) (g_i / Z_i + g_j / Z_j).
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor | None, p: float | None, exclude_self: bool) -> Tensor:
        keys = u if v is None else v
        kernel = _kernel(u, keys, p)
        # No self-similarity exceeds the ceiling, so one shift serves all rows, unless some sum underflows.
        ceiling = float(u.square().sum(0).max()) if p is None else 0.0
        half = v is None
        if half:
            shift = u.new_full((u.shape[1],), ceiling)
            strips, total = _half(kernel, u, shift, exclude_self)
            half = bool(total.min() > math.exp(_floor(u) / 2))
        if not half:
            strips, total, shift = _full(kernel, u, keys, exclude_self)
        ctx.save_for_backward(u, v, total, shift)
        ctx.kernel, ctx.strips, ctx.half, ctx.exclude_self = kernel, strips, half, exclude_self
        return total.log() + shift

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        if torch.is_grad_enabled():
            raise RuntimeError("log_partition has no second derivative: leave out create_graph=True")
        u, v, total, shift = ctx.saved_tensors
        keys = u if v is None else v
        share = grad / total
        du = torch.zeros_like(u)
        dv = du if v is None else torch.zeros_like(v)
        buffer = u.new_empty(max((strip.stop - strip.start) * (keys.shape[1] - strip.first) for strip in ctx.strips))
        for strip in ctx.strips:
            rows, columns = slice(strip.start, strip.stop), slice(strip.first, None)
            values = strip.values
            if values is None:
                own = strip.start - strip.first if ctx.exclude_self else None
                values, _ = _exponentials(ctx.kernel, u[:, rows], keys[:, columns], own, shift[rows])
            weights = buffer[: values.numel()].view_as(values)
            if ctx.half:
                # Within its own rows a strip holds both s_ij and s_ji: there, no pair stands for two.
                mirrored = share[columns].clone()
                mirrored[: strip.stop - strip.start] = 0
                torch.add(share[rows, None], mirrored, out=weights).mul_(values)
            else:
                torch.mul(values, share[rows, None], out=weights)
            ctx.kernel.pull(weights, u[:, rows], keys[:, columns], du[:, rows], dv[:, columns])
        return du, None if v is None else dv, None, None


def _kernel(u: Tensor, v: Tensor, p: float | None) -> _Dot | _SquaredDistance | _Distance:
    if p is None:
        return _Dot()
    if p == 2 and all(codes.square().sum(0).max() < LARGEST_SQUARE for codes in (u, v)):
        return _SquaredDistance()
    return _Distance(p, u, max(v.shape[1], _strip_size(u)))


def _exponentials(
    kernel: _Dot | _SquaredDistance | _Distance, u: Tensor, v: Tensor, own: int | None, shift: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """exp(s_ij - shift_i), and the shift: each row's maximum by default.

    `own` is the key that is query 0's own code, the next is query 1's: their similarity is left out.
    """
    values = u.new_empty(u.shape[1], v.shape[1])
    kernel.fill(values, u, v)
    if own is not None:
        values[:, own : own + len(values)].fill_diagonal_(-math.inf)
    if shift is None:
        shift = values.amax(1)
    values.sub_(shift[:, None]).clamp_(min=_floor(u)).exp_()
    if own is not None:
        values[:, own : own + len(values)].fill_diagonal_(0)
    return values, shift


def _half(
    kernel: _Dot | _SquaredDistance | _Distance, u: Tensor, shift: Tensor, exclude_self: bool
) -> tuple[list[_Strip], Tensor]:
    """Strips of s_ij for j >= start of the strip, and the sum of each row."""
    b = u.shape[1]
    total, strips = u.new_zeros(b), []
    for start, stop in _bounds(b, b, _strip_size(u), half=True):
        own = 0 if exclude_self else None
        values, _ = _exponentials(kernel, u[:, start:stop], u[:, start:], own, shift[start:stop])
        total[start:stop] += values.sum(1)
        total[stop:] += values[:, stop - start :].sum(0)
        strips.append(_Strip(start, stop, start, values if b * b <= 2 * KEPT else None))
    return strips, total


def _full(
    kernel: _Dot | _SquaredDistance | _Distance, u: Tensor, v: Tensor, exclude_self: bool
) -> tuple[list[_Strip], Tensor, Tensor]:
    """Strips of whole rows, each row shifted by its maximum; the sums of the rows, and the shifts."""
    b, m = u.shape[1], v.shape[1]
    total, shift, strips = u.new_empty(b), u.new_empty(b), []
    for start, stop in _bounds(b, m, _strip_size(u), half=False):
        own = start if exclude_self else None
        values, shift[start:stop] = _exponentials(kernel, u[:, start:stop], v, own)
        total[start:stop] = values.sum(1)
        strips.append(_Strip(start, stop, 0, values if b * m <= KEPT else None))
    return strips, total, shift


def _floor(codes: Tensor) -> float:
    """-61 in float32: smaller exponents count as this. Where exp underflows it takes ten times as long."""
    return 0.7 * math.log(torch.finfo(codes.dtype).tiny)


def _bounds(rows: int, columns: int, size: int, half: bool) -> Iterator[tuple[int, int]]:
    """Cut rows into strips of about `size` pairs; in the half, rows get shorter and strips higher."""
    start = 0
    while start < rows:
        stop = min(rows, start + max(1, size // (columns - start * half)))
        yield start, stop
        start = stop


def _strip_size(codes: Tensor) -> int:
    """Pairs per strip: a few strips fit into a core's cache; a GPU wants few large kernels instead."""
    return 2**18 if codes.device.type == "cpu" else 2**24
