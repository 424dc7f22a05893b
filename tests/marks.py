"""Marks that several test files share."""

from __future__ import annotations

import pytest

from greenhop.compiler.cpu import has_compiler

needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C++ compiler is installed")
