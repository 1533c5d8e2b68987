import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/**
 * The statistics of one month of one year.
 *
 * @param days bit {@code d - 1} is set when day {@code d} has been counted
 */
record Cell(int days, double sum, double min, double max) {
    private static final int BYTES = Integer.BYTES + 3 * Double.BYTES;

    static final Serde<Cell> SERDE = Serdes.serdeFrom(
            (topic, cell) -> cell == null ? null : cell.toBytes(),
            (topic, bytes) -> bytes == null ? null : of(ByteBuffer.wrap(bytes)));

    static Cell first(int day, double degrees) {
        return new Cell(1 << day - 1, 0.0 + degrees, degrees, degrees);
    }

    boolean has(int day) {
        return (days & 1 << day - 1) != 0;
    }

    /** With a day that has not been counted yet. */
    Cell with(int day, double degrees) {
        return new Cell(
                days | 1 << day - 1, sum + degrees, degrees < min ? degrees : min, degrees > max ? degrees : max);
    }

    int count() {
        return Integer.bitCount(days);
    }

    int firstDay() {
        return Integer.numberOfTrailingZeros(days) + 1;
    }

    int lastDay() {
        return Integer.SIZE - Integer.numberOfLeadingZeros(days);
    }

    private byte[] toBytes() {
        return ByteBuffer.allocate(BYTES).putInt(days).putDouble(sum).putDouble(min).putDouble(max).array();
    }

    private static Cell of(ByteBuffer bytes) {
        return new Cell(bytes.getInt(), bytes.getDouble(), bytes.getDouble(), bytes.getDouble());
    }
}
