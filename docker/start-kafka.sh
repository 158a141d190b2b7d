#!/bin/sh
# Starts Kafka inside the container of compose.yaml, with the listeners and users that the native broker has
# (local_brokers/kafka.py): a plain listener, and one with SASL over TLS whose certificate is made here.
set -eu

kafka=${KAFKA_HOME:-/opt/kafka}
here=${PENSTOCK_KAFKA_DIR:-/tmp/penstock}
module=org.apache.kafka.common.security
mkdir -p "$here"

if [ ! -f "$here/ca.pem" ]; then
    keytool -genkeypair -alias kafka -keyalg EC -groupname secp256r1 -validity 3650 -dname CN=localhost \
        -ext san=ip:127.0.0.1,dns:localhost -storetype PKCS12 -keystore "$here/kafka.p12" -storepass penstock
    keytool -exportcert -alias kafka -rfc -keystore "$here/kafka.p12" -storepass penstock >"$here/ca.pem"
fi

# Clients outside reach 9092 and 9093 by the ports they are published on; 9095 is for the broker's own tools.
cat >"$here/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9094
listeners=PLAINTEXT://:9092,SASL_SSL://:9093,CONTROLLER://localhost:9094,INTERNAL://localhost:9095
advertised.listeners=PLAINTEXT://127.0.0.1:${PENSTOCK_KAFKA_PORT:-9092},SASL_SSL://127.0.0.1:${PENSTOCK_KAFKA_SASL_PORT:-9093},INTERNAL://localhost:9095
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
log.dirs=$here/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=$module.plain.PlainLoginModule required user_admin="admin-secret" user_reader="reader-secret";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=$module.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$module.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location=$here/kafka.p12
ssl.keystore.password=penstock
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
PROPERTIES

if [ ! -f "$here/data/meta.properties" ]; then
    "$kafka/bin/kafka-storage.sh" format --standalone -t cGVuc3RvY2stdGVzdHMtMQ -c "$here/server.properties" \
        --add-scram 'SCRAM-SHA-256=[name=admin,password=admin-secret]' \
        --add-scram 'SCRAM-SHA-256=[name=reader,password=reader-secret]' \
        --add-scram 'SCRAM-SHA-512=[name=admin,password=admin-secret]' \
        --add-scram 'SCRAM-SHA-512=[name=reader,password=reader-secret]'
fi

exec "$kafka/bin/kafka-server-start.sh" "$here/server.properties"
