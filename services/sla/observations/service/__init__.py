"""Uploads: file formats, mappings of foreign tables, and the way into the database."""
