"""The HTTP edge every service has: routes, callers, problem documents, pages, exports, idempotency."""
