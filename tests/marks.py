"""Marks that several test files share."""

from __future__ import annotations

import pytest

from greenhop.compiler.toolchain import trouble

needs_compiler = pytest.mark.skipif(trouble() is not None, reason="no C++ compiler works here")
