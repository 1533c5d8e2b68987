import java.io.File;
import java.util.HexFormat;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
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
