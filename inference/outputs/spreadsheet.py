"""Text in tables that spreadsheets open."""


def spreadsheet_safe(value: object) -> object:
    """Text that a spreadsheet would take for a formula, with an apostrophe in front; everything else as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
