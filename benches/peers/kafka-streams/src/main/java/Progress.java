import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** How far the committed offsets are on their way to the ends of the partitions; prints each step. */
final class Progress {
    private final Map<TopicPartition, Long> ends;
    private final Map<TopicPartition, Long> committed = new HashMap<>();
    private final CountDownLatch begun = new CountDownLatch(1);
    private final CountDownLatch stopped = new CountDownLatch(1);
    private Throwable failure;

    Progress(Map<TopicPartition, Long> ends, Map<TopicPartition, Long> starts) {
        this.ends = ends;
        committed.putAll(starts);
        stopAtEnd();
    }

    synchronized void onCommitted(Map<TopicPartition, OffsetAndMetadata> offsets) {
        offsets.forEach((partition, offset) -> committed.put(partition, offset.offset()));
        print();
        stopAtEnd();
        begun.countDown();
    }

    private synchronized void print() {
        System.out.println(committed.values().stream().mapToLong(Long::longValue).sum());
        System.out.flush();
    }

    synchronized void fail(Throwable failure) {
        this.failure = failure;
        begun.countDown();
        stopped.countDown();
    }

    /** Waits for the end, and from the first commit on for at most so long. */
    void await(double secondsMax) throws Throwable {
        if (stopped.getCount() > 0) {
            begun.await();
            stopped.await((long) (secondsMax * 1e9), TimeUnit.NANOSECONDS);
        } else {
            print();
        }
        synchronized (this) {
            if (failure != null) {
                throw failure;
            }
        }
    }

    private void stopAtEnd() {
        if (ends.entrySet().stream().allMatch(end -> committed.get(end.getKey()) >= end.getValue())) {
            stopped.countDown();
        }
    }
}
