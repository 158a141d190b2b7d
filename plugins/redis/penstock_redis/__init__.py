"""Redis and Valkey for Penstock: queues on streams and on lists."""
