import static org.apache.kafka.clients.consumer.ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG;
import static org.apache.kafka.clients.consumer.ConsumerConfig.ISOLATION_LEVEL_CONFIG;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Month;
import java.time.format.TextStyle;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.IntegerDeserializer;

/** Checkpoint files from what is committed: the store's changelog, and the offsets. */
final class Checkpoints {
    private Checkpoints() {}

    static void write(Path dir, Map<TopicPartition, Long> offsets, String brokers, String changelog)
            throws IOException {
        Map<String, Object> config =
                Map.of(BOOTSTRAP_SERVERS_CONFIG, brokers, ISOLATION_LEVEL_CONFIG, "read_committed");
        try (KafkaConsumer<Integer, Cell> consumer =
                new KafkaConsumer<>(config, new IntegerDeserializer(), Cell.SERDE.deserializer())) {
            for (Map.Entry<TopicPartition, Long> offset : offsets.entrySet()) {
                int partition = offset.getKey().partition();
                Map<Integer, Cell> cells = read(consumer, new TopicPartition(changelog, partition));
                replace(dir, "partition-" + partition + ".json", json(partition, offset.getValue(), cells));
            }
        }
    }

    /** The last that was committed of each cell, in the order of keys. */
    private static Map<Integer, Cell> read(KafkaConsumer<Integer, Cell> consumer, TopicPartition changelog) {
        Map<Integer, Cell> cells = new TreeMap<>();
        List<TopicPartition> partitions = List.of(changelog);
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        long end = consumer.endOffsets(partitions).get(changelog);
        while (consumer.position(changelog) < end) {
            for (ConsumerRecord<Integer, Cell> record : consumer.poll(Duration.ofSeconds(1))) {
                cells.put(record.key(), record.value());
            }
        }
        return cells;
    }

    private static String json(int partition, long offset, Map<Integer, Cell> cells) {
        StringBuilder json = new StringBuilder("{\"partition\":" + partition + ",\"offset\":" + offset);
        int open = 0;
        for (Map.Entry<Integer, Cell> entry : cells.entrySet()) {
            int year = CountMonths.yearOf(entry.getKey());
            int month = CountMonths.monthOf(entry.getKey());
            if (month == open) {
                json.append(",\n  ");
            } else {
                String name = Month.of(month).getDisplayName(TextStyle.FULL, Locale.ENGLISH);
                json.append(open == 0 ? "" : "}").append(",\n \"").append(name).append("\":{");
                open = month;
            }
            append(json, year, month, entry.getValue());
        }
        return json.append(open == 0 ? "}\n" : "}}\n").toString();
    }

    private static void append(StringBuilder json, int year, int month, Cell cell) {
        String days = String.format("\"%04d-%02d-", year, month);
        json.append(days, 0, 5).append("\":{\"count\":").append(cell.count());
        json.append(",\"sum\":").append(cell.sum()).append(",\"avg\":").append(cell.sum() / cell.count());
        json.append(",\"min\":").append(cell.min()).append(",\"max\":").append(cell.max());
        json.append(",\"start\":").append(days).append(two(cell.firstDay())).append('"');
        json.append(",\"end\":").append(days).append(two(cell.lastDay())).append('"');
        String separator = ",\"missing\":[";
        for (int day = cell.firstDay(); day < cell.lastDay(); day++) {
            if (!cell.has(day)) {
                json.append(separator).append(days).append(two(day)).append('"');
                separator = ",";
            }
        }
        json.append(separator.equals(",") ? "]}" : "}");
    }

    private static String two(int number) {
        return number < 10 ? "0" + number : Integer.toString(number);
    }

    private static void replace(Path dir, String name, String text) throws IOException {
        Path written = dir.resolve(name + ".new");
        Files.write(written, text.getBytes(StandardCharsets.US_ASCII));
        sync(written, StandardOpenOption.WRITE);
        Files.move(written, dir.resolve(name), StandardCopyOption.ATOMIC_MOVE);
        sync(dir, StandardOpenOption.READ);
    }

    private static void sync(Path path, StandardOpenOption how) throws IOException {
        try (FileChannel channel = FileChannel.open(path, how)) {
            channel.force(true);
        }
    }
}
