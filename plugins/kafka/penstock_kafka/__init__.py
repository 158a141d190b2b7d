"""Apache Kafka as a stream source of Penstock: a topic's partitions are the shards."""
