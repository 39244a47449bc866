"""The database side of the kernel: sessions, tables, history, the directory, numbers, migrations."""
