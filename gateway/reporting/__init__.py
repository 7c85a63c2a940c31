"""Stored reports: made and revised, laid out as tables, written as PDF and workbook."""
