"""Pairwise losses against the plain formula, which holds all differences at once."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unmix.baselines import pairwise
from unmix.baselines.pairwise import align_uniform, info_nce, log_partition, matched_similarity

KINDS = [("vmf", 2.0), ("lp", 1.0), ("lp", 1.5), ("lp", 2.0), ("lp", 3.0), ("lp", 4.0), ("lp", 5.5)]
kinds = pytest.mark.parametrize(("similarity", "p"), KINDS)


def plain_similarity(u, v, similarity, p, tau):
    if similarity == "vmf":
        return (u * v).sum(-1) / tau
    return -(u - v).abs().pow(p).sum(-1) / tau


def plain(u, v=None, *, similarity="lp", p=2.0, tau=1.0, exclude_self=False):
    scores = plain_similarity(u[:, None], (u if v is None else v)[None], similarity, p, tau)
    if exclude_self:
        scores = scores.masked_fill(torch.eye(len(u), dtype=torch.bool), -math.inf)
    return torch.logsumexp(scores, 1)


def codes(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def gradients(function, *inputs):
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    outputs = function(*inputs)
    weights = torch.linspace(0.5, 1.5, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    return outputs.detach(), *torch.autograd.grad((outputs * weights).sum(), inputs)


def assert_same(actual, expected, rtol=1e-9, atol=1e-11):
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=rtol, atol=atol)


@pytest.fixture
def small_strips(monkeypatch):
    """Strips of a few rows, so that small batches have several, the last one cut off."""
    monkeypatch.setattr(pairwise, "_strip_size", lambda codes: 16)


@kinds
@pytest.mark.parametrize("case", ["self", "others", "rectangular"])
@pytest.mark.parametrize(("b", "n"), [(7, 3), (2, 1), (5, 1)])
@pytest.mark.usefixtures("small_strips")
def test_gradcheck(similarity, p, case, b, n):
    options = {"similarity": similarity, "p": p, "tau": 0.7, "exclude_self": case == "others"}
    inputs = [codes(b, n)] + ([codes(4, n, seed=1)] if case == "rectangular" else [])
    assert torch.autograd.gradcheck(
        lambda *x: log_partition(*x, **options), [x.requires_grad_() for x in inputs]
    )


@kinds
@pytest.mark.parametrize("case", ["self", "others", "rectangular", "apart"])
@pytest.mark.usefixtures("small_strips")
def test_pairs_computed_again_are_those_kept(monkeypatch, similarity, p, case):
    """Bit for bit, also where codes are so far apart that the half does not do."""
    options = {"similarity": similarity, "p": p, "exclude_self": case in ("others", "apart")}
    inputs = [codes(23, 3) * (40 if case == "apart" else 1)] + ([codes(9, 3, seed=1)] if case == "rectangular" else [])
    kept = gradients(lambda *x: log_partition(*x, **options), *inputs)
    monkeypatch.setattr(pairwise, "KEPT", 0)
    for actual, expected in zip(gradients(lambda *x: log_partition(*x, **options), *inputs), kept, strict=True):
        assert torch.equal(actual, expected)


@kinds
def test_one_code(similarity, p):
    actual, gradient = gradients(lambda u: log_partition(u, similarity=similarity, p=p), codes(1, 3))
    expected, expected_gradient = gradients(lambda u: plain(u, similarity=similarity, p=p), codes(1, 3))
    assert_same([actual, gradient], [expected, expected_gradient])


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    b=st.integers(2, 40),
    m=st.one_of(st.none(), st.integers(1, 40)),
    n=st.integers(1, 12),
    tau=st.sampled_from([0.05, 1.0, 20.0]),
    others=st.booleans(),
    offset=st.sampled_from([0.0, -30.0]),
    size=st.sampled_from([1, 32, 2**18]),
    seed=st.integers(0, 999),
)
def test_any_shape_is_the_plain_formula(kind, b, m, n, tau, others, offset, size, seed):
    similarity, p = kind
    inputs = [codes(b, n, seed=seed) + offset] + ([] if m is None else [codes(m, n, seed=seed + 1) + offset])
    options = {"similarity": similarity, "p": p, "tau": tau, "exclude_self": others and m is None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairwise, "_strip_size", lambda codes: size)
        actual = gradients(lambda *x: log_partition(*x, **options), *inputs)
    assert_same(actual, gradients(lambda *x: plain(*x, **options), *inputs), atol=1e-9)


@kinds
def test_float32_batch_of_several_strips(similarity, p):
    """The strips as they are, in the training's type, held against float64."""
    u = codes(700, 10)
    options = {"similarity": similarity, "p": p}
    actual = gradients(lambda u: log_partition(u, **options), u.float())
    expected = gradients(lambda u: plain(u, **options), u)
    assert sum(1 for _ in pairwise._bounds(700, 700, pairwise._strip_size(u), half=True)) > 1
    for a, e in zip(actual, expected, strict=True):
        assert (a - e).norm() < 1e-5 * e.norm()


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_codes_far_from_the_origin(p, offset):
    """float32 codes are taken as they are: an offset that they hold exactly costs no accuracy."""
    u = (codes(200, 5) * 64).round() / 64 + offset
    actual = gradients(lambda u: log_partition(u, p=p), u.float())
    expected = gradients(lambda u: plain(u, p=p), u)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a.double(), e, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spread", [1.0, 3.0, 10.0, 1000.0])
def test_accuracy_of_squared_distances(spread):
    """Pairs at distance 0.5, spread far: matrix products alone lose them (at 1000 by more than 0.1)."""
    u = codes(50, 10) * spread
    u = torch.cat([u, u + codes(50, 10, seed=1) / 6]).float()
    expected = plain(u.double(), tau=1.0, exclude_self=True)
    assert (log_partition(u, exclude_self=True) - expected).abs().max() < 1e-4 + 1e-6 * expected.abs().max()


def test_matrix_products_are_of_centred_codes(monkeypatch):
    """Even where they are forced, an offset costs nothing, and no similarity rounds to more than 0."""
    monkeypatch.setattr(pairwise, "LARGEST_SQUARE", math.inf)
    u = (codes(200, 5) * 64).round() / 64 + 1e3
    torch.testing.assert_close(log_partition(u.float()).double(), plain(u), rtol=1e-4, atol=1e-4)
    v = codes(5, 200, dtype=torch.float32)
    scores = torch.empty(200, 200)
    pairwise._SquaredDistance().fill(scores, v, v)
    assert scores.max() <= 0


@kinds
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_sum_underflows(similarity, p, dtype):
    """One code so far from the others that all its similarities are below -200, and exp of them is 0."""
    u = codes(30, 4, dtype=dtype)
    u[3] = 12 * (-1 if similarity == "vmf" else 40) * u[4]
    options = {"similarity": similarity, "p": p, "tau": 0.05, "exclude_self": similarity == "lp"}
    actual = gradients(lambda u: log_partition(u, **options), u)
    assert (plain(u, **options) < -200).any() or similarity == "vmf"
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    for a, e in zip(actual, gradients(lambda u: plain(u, **options), u.double()), strict=True):
        assert a.isfinite().all()
        assert (a - e).norm() <= tolerance * e.norm()


@pytest.mark.parametrize("others", [False, True])
def test_vmf_at_a_low_temperature(others):
    u = torch.nn.functional.normalize(codes(64, 3), dim=1)
    options = {"similarity": "vmf", "tau": 0.01, "exclude_self": others}
    actual = gradients(lambda u: log_partition(u, **options), u.float())
    for a, e in zip(actual, gradients(lambda u: plain(u, **options), u), strict=True):
        assert (a - e).norm() < 1e-4 * e.norm()


def test_ties_have_the_subgradient_zero():
    u = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 4.0]], dtype=torch.float64, requires_grad=True)
    log_partition(u, p=1.0)[0].backward()
    assert u.grad[:, 0].tolist() == [0, 0, 0]
    assert u.grad[1, 1] == pytest.approx(-math.exp(-1) / (1 + math.exp(-1) + math.exp(-3)))


@kinds
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("self_negative", [False, True])
@pytest.mark.parametrize("negatives", [None, 4])
def test_info_nce_is_cross_entropy(similarity, p, symmetric, self_negative, negatives):
    """With alpha = 1/2 it is the cross-entropy of telling the positive from the negatives."""
    options = {"similarity": similarity, "p": p, "tau": 0.5}

    def loss(anchor, positive):
        total = 0
        for queries in (anchor, positive) if symmetric else (anchor,):
            for i in range(12):
                group = range(12) if negatives is None else range(i // 4 * 4, i // 4 * 4 + 4)
                keys = [positive[i] if queries is anchor else anchor[i]]
                keys += [queries[j] for j in group if self_negative or j != i]
                scores = plain_similarity(queries[i], torch.stack(keys), **options)
                total = total + torch.nn.functional.cross_entropy(scores, torch.tensor(0))
        return total / (24 if symmetric else 12)

    def ours(anchor, positive):
        return info_nce(
            anchor, positive, **options, symmetric=symmetric, self_negative=self_negative, negatives=negatives
        )

    pair = codes(12, 3), codes(12, 3, seed=1)
    assert_same(gradients(ours, *pair), gradients(loss, *pair))


def test_alpha_weighs_the_terms():
    anchor, positive = codes(8, 3), codes(8, 3, seed=1)
    own = matched_similarity(anchor, positive)
    partition = torch.logaddexp(plain(anchor), own)
    for alpha in (0.2, 0.5, 0.9):
        expected = (2 * (-alpha * own + (1 - alpha) * partition)).mean()
        torch.testing.assert_close(info_nce(anchor, positive, alpha=alpha), expected)


def test_constant_codes_cannot_tell():
    same = torch.ones(9, 4)
    assert info_nce(same, same, p=1.0).item() == pytest.approx(math.log(10))
    assert info_nce(same, same, self_negative=False).item() == pytest.approx(math.log(9))


def test_one_pair_without_negatives():
    anchor, positive = codes(1, 3), codes(1, 3, seed=1)
    loss, *gradient = gradients(lambda a, b: info_nce(a, b, self_negative=False), anchor, positive)
    assert loss == 0
    assert all((g == 0).all() for g in gradient)


@pytest.mark.parametrize("self_negative", [False, True])
@pytest.mark.parametrize("p", [1.0, 2.0])
def test_align_uniform_is_its_definition(p, self_negative):
    def loss(anchor, positive):
        alignment = (anchor - positive).abs().pow(p).sum(1).mean()
        kernel = (-(anchor[:, None] - anchor).abs().pow(p).sum(2)).exp()
        if not self_negative:
            kernel = kernel[~torch.eye(6, dtype=torch.bool)].view(6, 5)
        return 0.3 * kernel.mean(1).log().mean() + 0.7 * alignment

    pair = codes(6, 3), codes(6, 3, seed=1)
    actual = gradients(lambda a, b: align_uniform(a, b, alpha=0.3, p=p, self_negative=self_negative), *pair)
    assert_same(actual, gradients(loss, *pair))


@kinds
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_stays_so(similarity, p, value):
    anchor, positive = codes(20, 3), codes(20, 3, seed=1)
    anchor[5, 1] = value
    assert not info_nce(anchor, positive, similarity=similarity, p=p).isfinite()
    if math.isnan(value):
        assert log_partition(anchor, similarity=similarity, p=p)[5].isnan()
        assert log_partition(positive, anchor, similarity=similarity, p=p).isnan().all()


def test_backward_twice_gives_the_same():
    u = codes(40, 3).requires_grad_()
    value = log_partition(u, p=3.0).sum()
    first, second = (torch.autograd.grad(value, u, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_no_second_derivative():
    u = codes(5, 2).requires_grad_()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(log_partition(u).sum(), u, create_graph=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda u: log_partition(u, p=0.5), "p is 0.5: it must be at least 1"),
        (lambda u: log_partition(u, p=math.nan), "p is nan"),
        (lambda u: log_partition(u, tau=0.0), "tau is 0.0: it must be positive"),
        (lambda u: matched_similarity(u, u, tau=-1.0), "tau is -1.0"),
        (lambda u: log_partition(u, similarity="cosine"), "'vmf' or 'lp'"),
        (lambda u: log_partition(u, u[:, :2]), "same number of dimensions"),
        (lambda u: log_partition(u, u.float()), "the same type"),
        (lambda u: log_partition(u.half()), "convert the codes to float32"),
        (lambda u: log_partition(u[0]), r"codes are \(batch, dimensions\)"),
        (lambda u: log_partition(u[:0]), "neither empty"),
        (lambda u: log_partition(u, u, exclude_self=True), "leave out keys"),
        (lambda u: log_partition(u[:1], exclude_self=True), "take a larger one"),
        (lambda u: align_uniform(u[:1], u[:1], self_negative=False), "take a larger one"),
        (lambda u: info_nce(u, u[:3]), "a pair is one row of each"),
        (lambda u: info_nce(u, u, negatives=4), "take a divisor"),
        (lambda u: info_nce(u, u, negatives=0), "take a divisor"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(codes(6, 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@kinds
def test_gpu_is_cpu(similarity, p):
    pair = codes(300, 4), codes(300, 4, seed=1)
    loss = lambda *x: info_nce(*x, similarity=similarity, p=p)  # noqa: E731
    assert_same([x.cpu() for x in gradients(loss, *(x.cuda() for x in pair))], gradients(loss, *pair))
