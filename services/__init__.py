"""The four services, a folder per feature; `registry` is the only list of them."""
