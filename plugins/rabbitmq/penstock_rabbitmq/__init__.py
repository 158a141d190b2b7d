"""RabbitMQ for Penstock: classic and quorum queues."""
