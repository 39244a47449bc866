"""The use cases of the change log, one file per aggregate."""
