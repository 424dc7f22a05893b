"""Policies that exist already: run folders, published weights, and finding either by name."""
