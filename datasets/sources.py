"""The published files of each dataset: addresses, sizes and checksums, as found in public code and readmes (2026)."""

from __future__ import annotations

from collections.abc import Mapping

from unmix.datasets.download import Source

_DSPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64"
_NORB = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
_NORB_FILES = {
    "training-dat": (131_896_188, "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873"),
    "training-cat": (348, "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa"),
    "training-info": (71_052, "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32"),
    "testing-dat": (130_799_817, "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474"),
    "testing-cat": (347, "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff"),
    "testing-info": (10_428, "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2"),
}


def _dsprites(suffix: str, size: int | None, *checksums: str) -> Source:
    name = _DSPRITES + suffix
    owners = ("google-deepmind", "deepmind")
    addresses = tuple(f"https://github.com/{owner}/dsprites-dataset/raw/master/{name}" for owner in owners)
    return Source("dsprites", name, addresses, size, checksums)


def _mpi3d(name: str, *mirrors: str) -> Source:
    address = f"https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/{name}"
    return Source("mpi3d", name, (address, *mirrors))


def _norb(part: str, size: int, sha256: str) -> Source:
    instances = "46789" if part.startswith("training") else "01235"
    name = f"smallnorb-5x{instances}x9x18x6x2x96x96-{part}.mat.gz"
    return Source("smallnorb", name, (_NORB + name,), size, (f"sha256:{sha256}",))


def _zenodo(dataset: str, record: int, name: str, *checksums: str) -> Source:
    return Source(dataset, name, (f"https://zenodo.org/record/{record}/files/{name}?download=1",), None, checksums)


# MPI3D: the first address of 2020 is dead. The bucket of 2024 is a mirror, but its real.npz was corrupt.
_BUCKET = "https://storage.googleapis.com/mpi3d_disentanglement_dataset/data/"

SOURCES: Mapping[str, tuple[Source, ...]] = {
    "dsprites": (
        _dsprites(".npz", None, "git:d98996d3f8ee1550e06b9d4ed78d0beb478910d5"),
        _dsprites(
            ".hdf5",
            28_024_106,
            "sha256:729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb",
            "git:3c8de5d40afa425dfd9de811d71248449aae238b",
        ),
    ),
    "shapes3d": (
        Source(
            "shapes3d",
            "3dshapes.h5",
            ("https://storage.googleapis.com/3d-shapes/3dshapes.h5",),
            267_573_662,
            ("sha256:0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",),
        ),
    ),
    "mpi3d": (
        _mpi3d("mpi3d_toy.npz", _BUCKET + "mpi3d_toy.npz"),
        _mpi3d("mpi3d_realistic.npz", _BUCKET + "mpi3d_realistic.npz"),
        _mpi3d("mpi3d_real.npz"),
        Source(
            "mpi3d",
            "real3d_complicated_shapes_ordered.npz",
            page="https://drive.google.com/file/d/1Tp8eTdHxgUMtsZv5uAoYAbJR1BOa_OQm",
        ),
    ),
    "smallnorb": tuple(_norb(part, *facts) for part, facts in _NORB_FILES.items()),
    "cars3d": (
        Source(
            "cars3d",
            "nips2015-analogy-data.tar.gz",
            ("http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",),
            None,
            ("md5:4e866a7919c1beedf53964e6f7a23686",),
        ),
    ),
    "threedident": (
        _zenodo("threedident", 4502485, "3dident_train.tar", "md5:df132b4dacf04fa28e1c8ca9d2168634"),
        _zenodo("threedident", 4502485, "3dident_test.tar", "md5:35020bca16c9faa80cf0c926d265d678"),
    ),
    "causal3dident": (
        _zenodo("causal3dident", 4784282, "trainset.tar.gz", "md5:acd98fda30eee75856dbbc7c54a27e45"),
        _zenodo("causal3dident", 4784282, "testset.tar.gz", "md5:c5d9d32d3737e241a2b12b968275fcb8"),
    ),
    "kitti_masks": (_zenodo("kitti_masks", 3931823, "kitti_peds_v2.pickle"),),
    "natural_sprites": (_zenodo("natural_sprites", 3948069, "downscale_keepaspect.csv"),),
}
"""By dataset. The checksums published for MPI3D are of dead files: those served now are not shown to be the same."""
