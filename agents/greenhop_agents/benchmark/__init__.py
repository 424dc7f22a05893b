"""Agents × seeds × episodes as jobs, carried out on one machine or many; numbers only, drawn by report."""
