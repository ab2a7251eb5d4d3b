"""Figures and pages that show what a captioner does and how well."""
