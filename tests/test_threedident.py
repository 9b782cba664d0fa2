"""3DIdent's scene as we draw it: against Cycles, between backends, along the latents, and on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from unmix.datasets import rendered
from unmix.datasets.download import FOLDER, DamagedFileError, MissingFileError
from unmix.datasets.render import backend_for, render
from unmix.datasets.rendered import Rendering, draw
from unmix.datasets.scene import rgb, units
from unmix.datasets.threedident_procedural import ThreeDIdentProcedural
from unmix.fields import PAIRS
from unmix.types import DeclinedError

pytest.importorskip("numba")
# Drawn from rendering facts by Blender 4.5.15 (bpy), Cycles, 512 samples, denoised, direct light only, clean colours.
REFERENCE = Path(__file__).with_name("threedident_reference.npz")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latents(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand((n, 10), generator=generator(seed), dtype=torch.float64) * 2 - 1


class TestRenderer:
    def test_looks_like_cycles(self) -> None:
        """Measured when they were made, over 8 pictures: PSNR 48.6 dB in the mean, 42.9 at least."""
        with np.load(REFERENCE) as reference:
            images = render(torch.from_numpy(reference["latents"]), 64).permute(0, 2, 3, 1).numpy()
            error = np.square(images.astype(float) - reference["images"]).mean(axis=(1, 2, 3))
        psnr = 10 * np.log10(255**2 / error)
        assert psnr.mean() > 45
        assert psnr.min() > 41

    @pytest.mark.parametrize(("mode", "size"), [("box", 64), ("sphere", 24)])
    def test_backends_agree_within_one_grey_level(self, mode: Any, size: int) -> None:
        z = latents(6, seed=size)
        one, other = (render(z, size, mode, backend=backend).int() for backend in ("numba", "torch"))
        assert (one - other).abs().max() <= 1

    @pytest.mark.parametrize("backend", ["numba", "torch"])
    def test_bytes_depend_on_latents_only(self, backend: Any) -> None:
        z = latents(5)
        whole = render(z, 16, backend=backend)
        assert torch.equal(whole, torch.cat([render(part, 16, backend=backend) for part in z.split(2)]))
        assert torch.equal(whole.flip(0), render(z.flip(0), 16, backend=backend))
        before = torch.get_num_threads()
        torch.set_num_threads(3)
        try:
            assert torch.equal(whole, render(z, 16, backend=backend))
        finally:
            torch.set_num_threads(before)

    def test_without_numba_torch_draws(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert backend_for(torch.device("cpu")) == "numba"
        assert backend_for(torch.device("cuda")) == "torch"
        monkeypatch.setattr("unmix.datasets.render.find_spec", lambda name: None)
        assert backend_for(torch.device("cpu")) == "torch"

    def test_no_latents_no_pictures(self) -> None:
        assert render(latents(0), 16).shape == (0, 3, 16, 16)
        assert render(latents(0), 16, backend="torch").shape == (0, 3, 16, 16)

    @pytest.mark.parametrize("column", range(10))
    def test_pictures_move_steadily_with_each_latent(self, column: int) -> None:
        """A hundredth of a step changes something like a hundredth of what a step does, and nothing jumps."""
        z = latents(1, seed=3).repeat(3, 1) / 2
        z[1, column] += 0.2
        z[2, column] += 0.002
        start, far, near = render(z, 32).double()
        assert (far - start).abs().mean() > 0.1
        assert (near - start).abs().mean() < (far - start).abs().mean() / 10
        assert (near - start).abs().max() < 16

    @pytest.mark.parametrize("column", range(3, 10))
    def test_sphere_mode_wraps_round(self, column: int) -> None:
        z = latents(1).repeat(2, 1)
        z[0, column], z[1, column] = -1, 1
        first, last = render(z, 32, "sphere").int()
        assert (first - last).abs().max() <= 1

    def test_box_mode_looks_like_the_published_pictures(self) -> None:
        """Causal3DIdent's published constants; for 3DIdent's own no way of drawing latents is known that gives them.

        They are of faithful colours. Over 1,000 pictures at 64 px we have mean (.435, .269, .293), std (.114, .148,
        .107). The tolerance is 3 standard errors of 300 pictures, whose green means have a std of 0.12.
        """
        images = render(latents(300), 32, colours="faithful").double() / 255
        mean, std = images.mean(dim=(0, 2, 3)), images.std(dim=(0, 2, 3))
        torch.testing.assert_close(mean, torch.tensor([0.4327, 0.2689, 0.2839]).double(), atol=0.02, rtol=0)
        torch.testing.assert_close(std, torch.tensor([0.1201, 0.1457, 0.1082]).double(), atol=0.02, rtol=0)

    def test_colours(self) -> None:
        """Against Python's colorsys, which the original used: wrapped, and as it takes negative hues."""
        import colorsys

        hue = np.linspace(-np.pi / 2, np.pi / 2, 41)
        for saturation in (1.0, 0.6):
            wrapped = [colorsys.hsv_to_rgb(angle / (2 * np.pi) % 1, saturation, 1) for angle in hue]
            np.testing.assert_allclose(rgb(hue, saturation, "clean"), wrapped, atol=1e-12)
            given = [colorsys.hsv_to_rgb(angle / (2 * np.pi), saturation, 1) for angle in hue]
            np.testing.assert_allclose(rgb(hue, saturation, "faithful"), np.maximum(given, 0), atol=1e-12)
        red = rgb(np.linspace(-np.pi / 3 + 1e-9, 0, 20), 1.0, "faithful")
        np.testing.assert_array_equal(red, np.tile([1.0, 0, 0], (20, 1)))

    def test_units(self) -> None:
        ends = np.array([[-1.0] * 10, [1.0] * 10])
        np.testing.assert_allclose(units(ends, "box")[1], [3] * 3 + [np.pi / 2] * 7)
        np.testing.assert_allclose(units(ends, "sphere"), [[-3, -3] + [0] * 8, [3, 3, 3] + [2 * np.pi] * 7])

    def test_what_cannot_be_drawn_is_named(self) -> None:
        z = latents(3)
        z[1, 4] = 1.5
        with pytest.raises(ValueError, match=r"number 4 of row 1 is 1\.5"):
            render(z, 16)
        z[1, 4] = torch.nan
        with pytest.raises(ValueError, match="number 4 of row 1 is nan"):
            render(z, 16)
        with pytest.raises(ValueError, match="size of at least 8"):
            render(latents(1), 7)


class TestDataset:
    def test_pairs_show_the_factors_of_factor_pairs(self) -> None:
        dataset = ThreeDIdentProcedural(size=16)
        pair, factors = dataset.sample_pairs(4, generator()), dataset.factor_pairs(4, generator())
        assert torch.equal(pair.anchor, dataset.observe(factors.anchor))
        assert torch.equal(pair.positive, dataset.observe(factors.positive))

    def test_factors(self) -> None:
        assert all(factor.type == "continuous" for factor in ThreeDIdentProcedural().factors)
        sphere = ThreeDIdentProcedural(mode="sphere").factors
        assert [factor.type for factor in sphere] == ["continuous"] * 3 + ["periodic"] * 7
        faithful = {factor.name: factor for factor in ThreeDIdentProcedural(colours="faithful").factors}
        assert "all red" in faithful["object_hue"].symmetry
        assert not faithful["x"].symmetry

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"images": -1}, "images is -1"),
            ({"pairs": "nearest"}, "give it --images 25000, or --pairs exact"),
            ({"size": 4}, "4 x 4 pixels shows nothing"),
            ({"conditional": "normal(std=0)"}, "std"),
        ],
    )
    def test_what_has_no_meaning_is_refused_at_once(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            ThreeDIdentProcedural(**fields)

    def test_without_a_conditional_pairs_are_declined(self) -> None:
        with pytest.raises(DeclinedError, match="--conditional"):
            ThreeDIdentProcedural(conditional="").sample_pairs(2, generator())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with 40 pictures drawn beforehand."""
    folder = tmp_path_factory.mktemp("data")
    draw(Rendering(40, 8), folder / "threedident_procedural" / "box-clean-8px-40.h5")
    return folder


class TestDrawnBeforehand:
    @pytest.fixture(autouse=True)
    def _here(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(FOLDER, str(folder))

    def test_the_file_says_where_it_is_from(self) -> None:
        with h5py.File(Rendering(40, 8).path) as file:
            assert file["images"].shape == (40, 8, 8, 3)
            assert file["images"].chunks is not None
            assert {"versions", "commit", "mode", "colours", "seed", "seconds", "renderer"} <= set(file.attrs)

    def test_samples_are_the_pictures_of_their_latents(self) -> None:
        dataset = ThreeDIdentProcedural(size=8, images=40)
        images, factors = dataset.sample(30, generator())
        assert torch.equal(images, dataset.observe(factors))
        assert len(factors.unique(dim=0)) > 15

    @pytest.mark.parametrize("pairs", ["exact", "nearest"])
    def test_pairs(self, pairs: Any) -> None:
        dataset = ThreeDIdentProcedural(size=8, images=40, pairs=pairs)
        pair, factors = dataset.sample_pairs(30, generator()), dataset.factor_pairs(30, generator())
        assert torch.equal(pair.anchor, dataset.observe(factors.anchor))
        assert torch.equal(pair.positive, dataset.observe(factors.positive))
        assert not (factors.anchor == factors.positive).all(dim=1).any()

    def test_how_pairs_are_made_does_not_touch_what_is_evaluated(self) -> None:
        assert "pairs" in PAIRS
        made = (ThreeDIdentProcedural(size=8, images=40, pairs=pairs) for pairs in ("exact", "nearest"))
        exact, nearest = (dataset.sample(9, generator()) for dataset in made)
        assert torch.equal(exact[0], nearest[0])
        assert torch.equal(exact[1], nearest[1])

    def test_nearest_is_nearest(self) -> None:
        dataset = ThreeDIdentProcedural(size=8, images=40, pairs="nearest", conditional="normal(std=0.01)")
        table, z = Rendering(40, 8).latents(), latents(50).float()
        order = torch.cdist(z.double(), table.double()).argsort(dim=1)
        assert torch.equal(dataset._nearest(z), order[:, :2])
        # Both snap to one picture nearly always: the positive is the second nearest.
        positives = dataset.sample_positives(z, generator())
        second = (positives == dataset.observe(table[order[:, 1]])).flatten(1).all(dim=1)
        assert second.float().mean() > 0.8

    def test_missing_pictures_name_the_command(self) -> None:
        dataset = ThreeDIdentProcedural(size=16, images=50)
        assert "unmix data render threedident --n 50 --size 16" in dataset.missing()
        with pytest.raises(MissingFileError, match="unmix data render threedident --n 50 --size 16"):
            dataset.sample(2, generator())
        assert ThreeDIdentProcedural(size=8, images=40).missing() == ""

    def test_a_renamed_file_is_refused(self, folder: Path) -> None:
        here = Rendering(40, 8).path
        there = Rendering(39, 8).path
        there.write_bytes(here.read_bytes())
        with pytest.raises(DamagedFileError, match="box-clean-8px-39"):
            ThreeDIdentProcedural(size=8, images=39).sample(2, generator())


class TestResume:
    def contents(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        with h5py.File(path) as file:
            return file["images"][:], file["latents"][:]

    def test_a_killed_run_goes_on_and_gives_the_same_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rendered, "PART", 4)
        rendering, whole, killed = Rendering(10, 8), tmp_path / "whole.h5", tmp_path / "killed.h5"
        draw(rendering, whole)
        code = f"""
import os
from pathlib import Path
from unmix.datasets import rendered
rendered.PART = 4
counts = []
def drawn(n):
    counts.append(n)
    if sum(counts) >= 4:
        os.kill(os.getpid(), 9)
rendered.draw(rendered.Rendering(10, 8), Path({str(killed)!r}), drawn=drawn)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True)
        assert done.returncode == -9, done.stderr
        assert not killed.exists()
        steps: list[int] = []
        draw(rendering, killed, drawn=steps.append)
        assert steps == [4, 4, 2]  # the first part was there
        for one, other in zip(self.contents(whole), self.contents(killed), strict=True):
            np.testing.assert_array_equal(one, other)
        assert not list(tmp_path.glob(".*.parts"))

    def test_parts_of_another_renderer_are_not_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rendered, "PART", 4)
        path = tmp_path / "file.h5"

        def stop(n: int) -> None:
            if n == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            draw(Rendering(8, 8), path, drawn=stop)
        monkeypatch.setattr(rendered, "fingerprint", lambda: "another")
        steps: list[int] = []
        draw(Rendering(8, 8), path, drawn=steps.append)
        assert steps == [0, 4, 4]

    def test_workers_give_the_same_file(self, tmp_path: Path) -> None:
        draw(Rendering(6, 8), tmp_path / "one.h5")
        draw(Rendering(6, 8), tmp_path / "two.h5", workers=2)
        for one, other in zip(self.contents(tmp_path / "one.h5"), self.contents(tmp_path / "two.h5"), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_the_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        from unmix.cli import main

        out = tmp_path / "pictures.h5"
        words = ["data", "render", "threedident", "--n", "3", "--size", "8", "--workers", "1", "--out", str(out)]
        assert main(words) == 0
        assert str(out) in capsys.readouterr().out
        assert self.contents(out)[0].shape == (3, 8, 8, 3)

    @pytest.mark.parametrize("words", [["--n", "0"], ["--size", "0"], ["--mode", "cone"]])
    def test_wrong_words(self, words: list[str]) -> None:
        from unmix.cli import main

        with pytest.raises(SystemExit):
            main(["data", "render", "threedident", *words])
        with pytest.raises(ValueError, match="n is 0"):
            Rendering(0)
