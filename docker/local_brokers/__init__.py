"""Real brokers on this machine, for tests: Kafka, RabbitMQ and Redis, each a process of its own on loopback.

Standard library only, since `make brokers` calls it before anything is installed. The tests use the same code to start
brokers that they may break.
"""
