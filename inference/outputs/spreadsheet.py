"""Text in tables that spreadsheets open."""

MARK = "\ufeff"  # at the start of a CSV file: by it Excel knows UTF-8, and shows umlauts as they are


def spreadsheet_safe(value: object) -> object:
    """Text that a spreadsheet would take for a formula, with an apostrophe in front; everything else as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
