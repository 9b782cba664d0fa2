"""Pages of runs: what is on them, what they say when something is missing, and that nothing in a record is markup."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unmix.cli import main
from unmix.commands.run import command
from unmix.evaluation import Evaluation, encode
from unmix.record import Record, Specification, Store
from unmix.run import make_dataset, run, specify
from unmix.run_page import page
from unmix.traversals import COLUMNS, decoded, found, nearest, ranked, sample_images, targets, typical
from unmix.weights import built, load

EVALUATION = Evaluation(samples=60, metrics=("r2(in_sample)", "mcc"))
IMAGES = {"name": "dsprites_procedural"}
RECIPE = {"steps": 2, "batch": 4, "warmup": 0}
VAE = specify(IMAGES, {"name": "beta_vae", "d": 3, "beta": 2.0, "recipe": RECIPE}, 1, EVALUATION)
CONTRASTIVE = specify(IMAGES, {"name": "contrastive", "d": 4, "recipe": RECIPE}, 0, EVALUATION)
PCA = specify({"name": "synthetic", "n": 3, "pool": 100}, {"name": "pca", "fit_samples": 100}, 0, EVALUATION)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    for specification in (VAE, CONTRASTIVE, PCA):
        run(specification, store)
    return store


@pytest.fixture(scope="module")
def printed(store: Store) -> str:
    """What `unmix plot` prints for all three; their pages are written then."""
    out = io.StringIO()
    keys = [VAE.key, CONTRASTIVE.key[:8], PCA.key]
    with contextlib.redirect_stdout(out):
        assert main(["plot", *keys, "--store", str(store.folder), "--metric", "mcc"]) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def pages(store: Store, printed: str) -> dict[str, str]:
    keys = {"vae": VAE, "contrastive": CONTRASTIVE, "pca": PCA}
    return {name: (store.run_folder(s) / "page.html").read_text(encoding="utf-8") for name, s in keys.items()}


def recorded(store: Store, specification: Specification) -> tuple[Record, Path]:
    return store.by_key()[specification.key], store.run_folder(specification)


def saved(store: Store, specification: Specification) -> tuple[np.ndarray, np.ndarray]:
    with np.load(store.run_folder(specification) / "codes.npz", allow_pickle=False) as arrays:
        return arrays["codes"], arrays["factors"]


def labels(text: str) -> list[str]:
    return re.findall(r'<img alt="([^"]*)"', text)


class TestPage:
    def test_of_a_vae_has_everything_and_its_decoder_draws(self, store: Store, pages: dict[str, str]) -> None:
        text, (record, _) = pages["vae"], recorded(store, VAE)
        known = (record.key, record.commit, *record.versions.values(), str(record.hardware["processor"]))
        for said in (*known, f"{record.parameters:,}", "reconstruction", "kl", "scale (ordinal)", "the decoder draws"):
            assert said in text
        assert f"{record.scores['mcc']['value']:.4f}" in text
        assert labels(text)[0] == "start"
        assert len(labels(text)) == 1 + 3

    def test_of_a_contrastive_encoder_shows_real_images(self, store: Store, pages: dict[str, str]) -> None:
        text = pages["contrastive"]
        assert "No decoder: real images" in text
        assert len(labels(text)) == 1 + 4
        (content,) = re.findall(r'alt="start" src="data:image/png;base64,([^"]*)"', text)
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
        codes, factors = saved(store, CONTRASTIVE)
        start = typical(codes, np.zeros(4, dtype=bool))
        expected = make_dataset(IMAGES, 0).observe(torch.from_numpy(factors[start][None]))  # type: ignore[attr-defined]
        np.testing.assert_array_equal(pixels[:, :64, 0], expected[0, 0].numpy())

    def test_of_vectors_and_untrained_methods_says_what_there_is_not(self, pages: dict[str, str]) -> None:
        text = pages["pca"]
        assert "not images" in text
        assert "Nothing was trained step by step" in text
        assert not labels(text)

    def test_without_weights_shows_real_images_and_without_codes_the_rest(self, store: Store, tmp_path: Path) -> None:
        record, folder = recorded(store, VAE)
        (tmp_path / "codes.npz").write_bytes((folder / "codes.npz").read_bytes())
        text = page(record, tmp_path)
        assert "weights are not here" in text
        assert len(labels(text)) == 1 + 3
        bare = page(record, tmp_path / "nothing")
        assert "codes of this run are not here" in bare
        assert f"{record.scores['mcc']['value']:.4f}" in bare

    def test_damaged_codes_cost_their_sections_only(self, store: Store, tmp_path: Path) -> None:
        record, _ = recorded(store, VAE)
        (tmp_path / "codes.npz").write_bytes(b"PK no archive")
        text = page(record, tmp_path)
        assert "cannot be read" in text
        assert f"{record.scores['mcc']['value']:.4f}" in text

    def test_nothing_in_a_record_is_markup(self, store: Store) -> None:
        record, folder = recorded(store, VAE)
        evil = "<script>alert(1)</script>\"'&"
        scores = {**record.scores, evil: {"value": 0.5, "n": 1, "d": 1, "k": 1, "warnings": [evil]}}
        curve = [{**point, "terms": {evil: 1.0}, "scores": {evil: 0.5}} for point in record.curve]
        forged = dataclasses.replace(
            record, scores=scores, commit=evil, hardware={evil: evil}, versions={evil: evil}, finished=evil, curve=curve
        )
        text = page(forged, folder)
        assert text.count("&lt;script&gt;") > 7
        assert not re.search(r"<script|<[^>]*\son[a-z]+=", text)

    def test_needs_nothing_from_elsewhere(self, pages: dict[str, str]) -> None:
        text = pages["vae"]
        assert "prefers-color-scheme: dark" in text
        references = re.findall(r'(?:\bsrc|(?<!:)\bhref|url)[=(]"?([^")>]*)', text)
        assert references
        assert all(reference.startswith(("data:", "#")) for reference in references)


class TestTraversal:
    def test_weights_of_a_run_give_its_codes(self, store: Store) -> None:
        for specification in (VAE, CONTRASTIVE):
            codes, factors = saved(store, specification)
            encoder = built(specification)
            assert isinstance(encoder, torch.nn.Module)
            images = sample_images(make_dataset(IMAGES, 0), factors, torch.Generator())(np.arange(60))
            assert not np.allclose(encode(encoder, images), codes, atol=1e-6)
            load(encoder, store.run_folder(specification) / "encoder.safetensors")
            np.testing.assert_allclose(encode(encoder, images), codes, atol=1e-5)

    def test_other_weights_are_refused(self, store: Store) -> None:
        encoder = built(VAE)
        assert isinstance(encoder, torch.nn.Module)
        with pytest.raises(ValueError, match="does not build"):
            load(encoder, store.run_folder(CONTRASTIVE) / "encoder.safetensors")

    def test_dead_codes_come_last_and_are_labelled(self, store: Store, pages: dict[str, str]) -> None:
        codes = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32) * [1.0, 0.0, 2.0]
        dead = codes.var(axis=0) == 0
        assert ranked(codes, dead) == [2, 0, 1]
        assert [row.dead for row in found(_indices, codes, dead).rows] == [False, False, True]
        (vae, _), (contrastive, _) = saved(store, VAE), saved(store, CONTRASTIVE)
        assert vae.var(axis=0).max() <= 0.01  # after two steps
        assert [", dead" in label for label in labels(pages["vae"])] == [False, True, True, True]
        assert contrastive.var(axis=0).min() > 0
        assert not any(", dead" in label for label in labels(pages["contrastive"]))

    def test_a_decoder_is_asked_for_one_code_at_a_time(self) -> None:
        codes = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
        asked: list[torch.Tensor] = []

        def decode(given: torch.Tensor) -> torch.Tensor:
            asked.append(given)
            return torch.sigmoid(given)[:, :, None, None]  # two channels, one a code

        dead = np.zeros(2, dtype=bool)
        shown = decoded(decode, codes, dead, (2, 1, 1))
        start = codes[typical(codes, dead)]
        for row, given in zip(shown.rows, asked[0][:-1].split(COLUMNS), strict=True):
            np.testing.assert_array_equal(given[:, row.code], targets(codes[:, row.code]))
            np.testing.assert_array_equal(given[:, 1 - row.code], start[1 - row.code].repeat(COLUMNS))
            assert row.images[0, row.code] < row.images[-1, row.code]
        np.testing.assert_array_equal(asked[0][-1], start)

    def test_nearest_samples_move_along_their_code_and_stay_in_the_others(self) -> None:
        """On a full grid of codes there is a sample for each target that has the start's other codes exactly."""
        grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
        dead = np.zeros(2, dtype=bool)
        start = typical(grid, dead)
        for code in range(2):
            chosen = grid[nearest(grid, code, start, dead)]
            np.testing.assert_array_equal(chosen[:, code], targets(grid[:, code]))
            assert set(chosen[:, 1 - code]) == {grid[start, 1 - code]}

    def test_codes_of_few_values_are_asked_for_no_other(self) -> None:
        values = np.random.default_rng(0).choice([-0.5, 0.1, 0.5], 300)
        assert set(targets(values)) == {-0.5, 0.1, 0.5}


def _indices(index: np.ndarray) -> torch.Tensor:
    return torch.zeros(len(index), 1, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"seed": 3, "evaluation": Evaluation(samples=50, metrics=("mcc",))},
        {"dataset": {**IMAGES, "transitions": "lap(rate=2)"}, "method": {"name": "contrastive+ica", "symmetric": True}},
        {"dataset": {"name": "synthetic", "conditional": ""}, "method": {"name": "qlae", "recipe": {"decay": 0.0}}},
    ],
)
def test_the_command_on_a_page_is_the_run(changed: dict[str, Any]) -> None:
    """Parsed as `unmix run` parses it, it names the same key."""
    from unmix.cli import parser
    from unmix.commands.run import _add_fields, _specified

    specification = specify(**{"dataset": IMAGES, "method": {"name": "pca"}, "seed": 0, **changed})
    words = shlex.split(command(specification, "cuda"))
    known, rest = parser().parse_known_args(words[1:])
    dataset, method = known.words
    kinds = _add_fields(known.parser, dataset, {"name": method})
    flags = known.parser.parse_args([*known.words, *rest])
    assert _specified(flags, dataset, {"name": method}, kinds, known.seeds[0]).key == specification.key
    assert known.device == "cuda"


def test_a_run_of_another_version_has_no_command() -> None:
    younger = dataclasses.replace(VAE, method={**VAE.method, "field_to_come": 1})
    with pytest.raises(ValueError, match="no command"):
        command(younger)


def test_plot_prints_where_the_pages_are(store: Store, printed: str) -> None:
    for specification in (VAE, CONTRASTIVE, PCA):
        assert str(store.run_folder(specification) / "page.html") in printed
    shared = store.folder / "plots" / f"{VAE.key[:4]}_{CONTRASTIVE.key[:4]}_{PCA.key[:4]}_curves.png"
    assert str(shared) in printed
    assert shared.exists()


def test_an_unknown_key_says_the_close_ones(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = VAE.key[:7] + "x"
    assert main(["plot", wrong, "--store", str(store.folder)]) == 2
    error = capsys.readouterr().err
    assert f"did you mean {VAE.key} (dsprites_procedural beta_vae seed 1)" in error
