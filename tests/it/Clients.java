import java.io.File;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.record.internal.FileRecords;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** What a program with Apache Kafka's own Java client does, for the tests to compare with. */
class Clients {
    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "place" -> place(arguments);
            case "send" -> send(arguments);
            case "dump" -> dump(arguments);
            case "move" -> move(arguments);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    /** dump SEGMENT…: the value of each record that Kafka's own reader of log files finds, in hexadecimal digits. */
    private static void dump(String[] arguments) throws Exception {
        for (int index = 1; index < arguments.length; index++) {
            try (var records = FileRecords.open(new File(arguments[index]))) {
                for (var record : records.records()) {
                    byte[] value = new byte[Math.max(record.valueSize(), 0)];
                    if (record.hasValue()) {
                        record.value().get(value);
                    }
                    System.out.println("value " + HexFormat.of().formatHex(value));
                }
            }
        }
    }

    /** move BROKERS TOPIC: each partition gets another of its replicas for its leader. */
    private static void move(String[] arguments) throws Exception {
        var properties = new Properties();
        properties.put("bootstrap.servers", arguments[1]);
        try (var admin = Admin.create(properties)) {
            var topics = admin.describeTopics(List.of(arguments[2])).allTopicNames().get();
            var moved = new HashMap<TopicPartition, Optional<NewPartitionReassignment>>();
            for (var partition : topics.get(arguments[2]).partitions()) {
                var replicas = new ArrayList<Integer>();
                partition.replicas().forEach(replica -> replicas.add(replica.id()));
                while (replicas.get(0) == partition.leader().id()) {
                    Collections.rotate(replicas, 1);
                }
                var place = new TopicPartition(arguments[2], partition.partition());
                moved.put(place, Optional.of(new NewPartitionReassignment(replicas)));
            }
            admin.alterPartitionReassignments(moved).all().get();
            admin.electLeaders(ElectionType.PREFERRED, moved.keySet()).all().get();
        }
    }

    /** place PARTITIONS KEY… */
    private static void place(String[] arguments) {
        int partitions = Integer.parseInt(arguments[1]);
        try (var serializer = new StringSerializer()) {
            for (int index = 2; index < arguments.length; index++) {
                byte[] key = serializer.serialize("", arguments[index]);
                System.out.println(arguments[index] + " " + BuiltInPartitioner.partitionForKey(key, partitions));
            }
        }
    }

    /** send BROKERS TOPIC [KEY HEX]… */
    private static void send(String[] arguments) throws Exception {
        var properties = new Properties();
        properties.put("bootstrap.servers", arguments[1]);
        try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new ByteArraySerializer())) {
            for (int index = 3; index < arguments.length; index += 2) {
                byte[] value = HexFormat.of().parseHex(arguments[index + 1]);
                var sent = producer.send(new ProducerRecord<>(arguments[2], arguments[index], value)).get();
                System.out.println(arguments[index] + " " + sent.partition());
            }
        }
    }
}
