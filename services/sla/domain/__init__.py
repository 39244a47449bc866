"""The rules of service levels: definitions, computation, reports and reviews."""
