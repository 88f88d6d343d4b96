"""Figures and pages of the workflow's report."""
