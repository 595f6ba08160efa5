"""The database: schema, store, records, hash chain, keys, templates, outbox rows, recovery."""
