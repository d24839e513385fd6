"""The activation cache: what a frozen part of a network gives is computed once a view and kept in files."""
