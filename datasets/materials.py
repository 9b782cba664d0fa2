"""The material of 3DIdent's pot and ground, and its spotlight's cone.

Diffuse and velvet (Ashikhmin's distribution), mixed by a Fresnel term, below a glossy layer (Beckmann's), mixed by
another. Operators only, so that one formula is compiled by numba and runs on arrays and tensors as well.
"""

from __future__ import annotations

import math
from typing import Any

ROUGHNESS, GLOSS = 0.35, 0.8  # alpha of Beckmann's distribution, albedo of the glossy layer
VELVET = 1 / 0.6**2  # 1 / sigma^2 of the velvet
INNER_IOR, OUTER_IOR = 1.4, 1.2  # of the Fresnel terms of velvet over diffuse, and of gloss over both
SPOT_COS = math.cos(math.radians(35 / 2))
SPOT_BLEND = 0.1 * (1 - SPOT_COS)  # the cosines over which the cone's edge fades


def smaller(a: Any, b: Any) -> Any:
    """The minimum."""
    return (a + b - abs(a - b)) / 2


def larger(a: Any, b: Any) -> Any:
    """The maximum."""
    return (a + b + abs(a - b)) / 2


def fresnel(cos: Any, ior: float) -> Any:
    """Reflected share of unpolarised light at a dielectric."""
    g = (ior * ior - 1 + cos * cos) ** 0.5
    a, b = (g - cos) / (g + cos), ((g + cos) * cos - 1) / ((g - cos) * cos + 1)
    return 0.5 * a * a * (1 + b * b)


def smith(cos: Any) -> Any:
    """Beckmann's Lambda of masking, in a rational approximation (Walter et al. 2007, section 5.2)."""
    c = cos / (ROUGHNESS * larger(1 - cos * cos, 1e-12) ** 0.5)
    return (c < 1.6) * (1 - 1.259 * c + 0.396 * c * c) / (3.535 * c + 2.181 * c * c)


def reflect(nl: Any, nv: Any, vl: Any, inner: Any, outer: Any, masking: Any) -> tuple[Any, Any]:
    """BRDF times cosine, as (a, b): a is multiplied by the material's colour, b is white.

    Args:
        nl: Cosine between normal and light, above 0.
        nv: Cosine between normal and view, above 0.
        vl: Cosine between view and light.
        inner: `fresnel(nv, INNER_IOR)`.
        outer: `fresnel(nv, OUTER_IOR)`.
        masking: `smith(nv)`.
    """
    half = larger(2 + 2 * vl, 1e-12) ** 0.5
    cos2 = smaller((nl + nv) / half, 1 - 1e-7) ** 2
    sin2 = 1 - cos2
    geometry = smaller(2 * (nl + nv) / larger(1 + vl, 1e-9) * smaller(nl, nv), 1.0)
    velvet = VELVET / (4 * math.pi) * math.e ** (-VELVET * cos2 / sin2) / (sin2 * sin2) * geometry / nv
    gloss = math.e ** (-sin2 / cos2 / ROUGHNESS**2) / (4 * math.pi * ROUGHNESS**2 * cos2 * cos2)
    gloss = gloss / (nv * (1 + masking + smith(nl)))
    base = (1 - inner) * nl / math.pi + inner * velvet
    return (1 - outer) * base, outer * GLOSS * gloss


def cone(cos: Any) -> Any:
    """The spotlight's share at an angle from its axis: a smooth step at the edge."""
    t = smaller(larger((cos - SPOT_COS) / SPOT_BLEND, 0.0), 1.0)
    return t * t * (3 - 2 * t)


def srgb(linear: Any) -> Any:
    """Linear light in [0, 1] -> sRGB in [0, 1]."""
    dark = linear <= 0.0031308
    return dark * 12.92 * linear + (1 - dark * 1) * (1.055 * linear ** (1 / 2.4) - 0.055)
