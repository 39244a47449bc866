"""The database side of the kernel: sessions, tables, history, lists, the directory, numbers, migrations."""
