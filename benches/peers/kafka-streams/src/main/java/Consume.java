import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** Reads a topic to its end, and writes what has been committed by then as almanac's checkpoints. */
public final class Consume {
    private static final String USAGE = "--brokers HOST:PORT --topic T --dir DIR --seconds S";

    public static void main(String[] args) {
        try {
            run(options(args));
        } catch (ExecutionException failure) {
            // Only says that it happened on another thread.
            fail(failure.getCause());
        } catch (Throwable failure) {
            fail(failure);
        }
    }

    private static void fail(Throwable failure) {
        System.err.println("error: " + failure);
        // Without waiting for the clients' threads.
        Runtime.getRuntime().halt(1);
    }

    private static void run(Map<String, String> options) throws Throwable {
        String brokers = options.get("--brokers");
        String topic = options.get("--topic");
        Path dir = Files.createDirectories(Path.of(options.get("--dir")));
        String application = applicationOf(dir);

        Map<TopicPartition, Long> ends;
        Map<TopicPartition, Long> starts;
        try (Admin admin = Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, brokers))) {
            ends = offsets(admin, topic, OffsetSpec.latest());
            starts = offsets(admin, topic, OffsetSpec.earliest());
            starts.putAll(committed(admin, application));
        }

        Progress progress = new Progress(ends, starts);
        Clients clients = new Clients(progress::onCommitted);
        try (KafkaStreams streams = new KafkaStreams(topology(topic), config(application, brokers, dir), clients)) {
            streams.setUncaughtExceptionHandler(failure -> {
                progress.fail(failure);
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            progress.await(Double.parseDouble(options.get("--seconds")));
        }

        try (Admin admin = Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, brokers))) {
            starts.putAll(committed(admin, application));
        }
        Checkpoints.write(dir, starts, brokers, application + "-" + CountMonths.STORE + "-changelog");
        System.out.close();
        System.in.transferTo(OutputStream.nullOutputStream());
    }

    private static Map<String, String> options(String[] args) {
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            options.put(args[i], args[i + 1]);
        }
        if (args.length != 8 || !options.keySet().equals(Set.of("--brokers", "--topic", "--dir", "--seconds"))) {
            throw new IllegalArgumentException("arguments are missing, or unknown\nhint: " + USAGE);
        }
        return options;
    }

    /** The application whose state DIR stands for: a new DIR begins at the first offsets. */
    private static String applicationOf(Path dir) throws IOException {
        Path file = dir.resolve("application.id");
        if (!Files.exists(file)) {
            Path written = dir.resolve("application.id.new");
            Files.writeString(written, "months-" + UUID.randomUUID());
            Files.move(written, file);
        }
        return Files.readString(file);
    }

    private static Topology topology(String topic) {
        // In memory rather than in RocksDB: both come back from the changelog after a crash. With a cache, only
        // the last value of a cell before a commit goes there, not each.
        StoreBuilder<?> store = Stores.keyValueStoreBuilder(
                        Stores.inMemoryKeyValueStore(CountMonths.STORE), Serdes.Integer(), Cell.SERDE)
                .withCachingEnabled();
        return new Topology()
                .addSource("reports", new ByteArrayDeserializer(), new ByteArrayDeserializer(), topic)
                .addProcessor("count", CountMonths::new, "reports")
                .addStateStore(store, "count");
    }

    private static Properties config(String application, String brokers, Path dir) {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        config.put(StreamsConfig.STATE_DIR_CONFIG, dir.resolve("state").toString());
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        // More threads are for more cores; here each would only have a transaction of its own to commit.
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        // Default 10 MiB: all cells that change between two commits are to fit in.
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64 << 20);
        // Defaults 1000, 1000 and 1 MiB: between two polls, and between the pauses of a partition, goes more work.
        config.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 50_000);
        config.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        config.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        config.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        // A member that comes back after a crash has its partitions again at once, not after the session's time-out.
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "peer");
        return config;
    }

    private static Map<TopicPartition, Long> offsets(Admin admin, String topic, OffsetSpec spec) throws Exception {
        int partitions =
                admin.describeTopics(List.of(topic)).topicNameValues().get(topic).get().partitions().size();
        Map<TopicPartition, OffsetSpec> asked = IntStream.range(0, partitions)
                .mapToObj(partition -> new TopicPartition(topic, partition))
                .collect(Collectors.toMap(partition -> partition, partition -> spec));
        Map<TopicPartition, Long> offsets = new HashMap<>();
        admin.listOffsets(asked).all().get().forEach((partition, found) -> offsets.put(partition, found.offset()));
        return offsets;
    }

    private static Map<TopicPartition, Long> committed(Admin admin, String application) throws Exception {
        Map<TopicPartition, Long> offsets = new HashMap<>();
        admin.listConsumerGroupOffsets(application, new ListConsumerGroupOffsetsOptions().requireStable(true))
                .partitionsToOffsetAndMetadata()
                .get()
                .forEach((partition, committed) -> offsets.put(partition, committed.offset()));
        return offsets;
    }
}
