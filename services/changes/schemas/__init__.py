"""What the change log's API takes and gives, one file per resource."""
