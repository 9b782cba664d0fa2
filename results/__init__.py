"""Data only: published numbers and presets (paper/), our records (reproduced/)."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
