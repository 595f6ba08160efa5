"""From the outbox to other systems: couriers, connectors, tables."""
